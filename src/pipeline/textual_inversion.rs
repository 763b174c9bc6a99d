//! Words with embeddings of their own (textual inversion), in the form for one text encoder.

use std::sync::Arc;

use crate::adapters::Embedding;
use crate::error::{Error, Kind, Result};
use crate::nn::{Backend, Weights};
use crate::prompt::Word;
use crate::registry::Component;

/// The words of a request for one text encoder.
pub(super) struct Words {
    pub(super) words: Vec<Word>,
    /// Embedding vectors of the words, one after the other.
    pub(super) vectors: Vec<f32>,
}

impl Words {
    /// Reads the embedding vectors for `component`, whose states are `width` wide.
    pub(super) fn read(
        embeddings: &[Arc<Embedding>],
        component: Component,
        width: usize,
        backend: &Backend,
    ) -> Result<Self> {
        let mut all = Self {
            words: Vec::new(),
            vectors: Vec::new(),
        };
        for embedding in embeddings {
            let (Some(word), Some(row)) = (embedding.word(component), embedding.row(component))
            else {
                continue;
            };
            if row.width != width {
                let path = embedding.path.display();
                return Err(Error::new(
                    Kind::ModelFile,
                    format!(
                        "`{path}` has vectors of width {}, expected {width} for {component}",
                        row.width
                    ),
                ));
            }
            let file = Weights::open(embedding.tensors.clone(), backend)?;
            all.vectors
                .extend(file.values(&row.tensor, &[row.count, width])?.floats());
            all.words.push(word);
        }
        Ok(all)
    }
}
