//! Textual inversion (Gal et al. 2022): embedding files, recognised by their headers. The vectors
//! are read later, when a prompt with the word is encoded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::discover::{Hashes, file_stem};
use crate::catalog::{Component, ModelFiles};
use crate::error::{Error, Kind, Result};
use crate::prompt::Word;
use crate::tensor_file::{ByteSource, Directory, TensorFile, Tensors};

/// A textual-inversion embedding: the vectors of one word.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// File name without extension: the word that a prompt uses.
    pub name: String,
    /// Path of the file.
    pub path: PathBuf,
    /// The file's tensors, by their names in the file.
    pub tensors: Arc<Tensors>,
    /// Tensor name in diffusers' own files: the token that the embedding was trained for.
    token: Option<String>,
    /// Vectors of each text encoder.
    vectors: Vec<Vectors>,
}

/// Vectors for one text encoder.
#[derive(Clone, Debug)]
struct Vectors {
    /// The text encoder; `None` if the file does not name one.
    component: Option<Component>,
    tensor: String,
    count: usize,
    width: usize,
}

/// Tensor and dimensions of the vectors for one text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the tensor in the file.
    pub tensor: String,
    /// Number of vectors.
    pub count: usize,
    /// Numbers per vector.
    pub width: usize,
}

/// The field of a text encoder's config.json that is read here.
#[derive(Deserialize)]
struct Width {
    hidden_size: usize,
}

/// Tensor names of the two text encoders in SDXL embedding files.
const ENCODERS: [(&str, Component); 2] = [
    ("clip_l", Component::TextEncoder),
    ("clip_g", Component::TextEncoder2),
];
/// Tensor names that are not the word: those of the original textual-inversion code and of A1111,
/// whose safetensors files have `emb_params`.
const NAMELESS: [&str; 3] = ["string_to_param", "emb_params", "*"];
/// Table of token ids in files of the original textual-inversion code; the ids are those of its own
/// tokenizer and are not read.
const IDS: &str = "string_to_token";

impl Embedding {
    /// Reads the header of the file at `path`.
    ///
    /// # Errors
    /// A file that is unreadable, damaged, or no embedding.
    pub fn read(path: &Path) -> Result<Self> {
        let label = path.display().to_string();
        let content = ByteSource::Disk(path.to_owned());
        let Directory { tensors, .. } = content.directory(&label)?;
        let mut vectors = Vec::new();
        let mut token = None;
        for (name, entry) in &tensors {
            let root = name.split('.').next().unwrap_or(name);
            if root == IDS {
                continue;
            }
            let component = ENCODERS
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, component)| *component);
            let word = component.is_none() && !NAMELESS.contains(&root);
            token = if word { Some(name.clone()) } else { token };
            let (count, width) = match entry.shape[..] {
                [width] => (1, width),
                [count, width] => (count, width),
                _ => (0, 0),
            };
            if count == 0 || width == 0 {
                let what = format!("`{label}`: tensor `{name}` has shape {:?}", entry.shape);
                return Err(Error::new(Kind::ModelFile, what)
                    .hint("expected the vectors of a word: [vectors, width] or [width]"));
            }
            vectors.push(Vectors {
                component,
                tensor: name.clone(),
                count,
                width,
            });
        }
        let known = vectors.len() == 1 || vectors.iter().all(|vectors| vectors.component.is_some());
        if vectors.is_empty() || !known {
            let what = format!(
                "`{label}` is no embedding: it has {} tensors",
                vectors.len()
            );
            return Err(Error::new(Kind::ModelFile, what)
                .hint("expected one tensor, or `clip_l` and `clip_g` for SDXL"));
        }
        let tensors = Arc::new(Tensors::of_file(TensorFile { label, content }, tensors));
        Ok(Self {
            name: file_stem(path),
            path: path.to_owned(),
            tensors,
            token,
            vectors,
        })
    }

    /// Reads the embeddings at `paths` that the prompts use. A file that cannot be read is an error
    /// only if a prompt contains its name.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_used(paths: &[PathBuf], prompts: &[&str]) -> Result<Vec<Arc<Self>>> {
        let mut used: Vec<Arc<Self>> = Vec::new();
        for path in paths {
            let found = Self::read(path);
            let word = match &found {
                Ok(embedding) => embedding.any_word(),
                Err(_) => Self::nameless(path),
            };
            let twice = used.iter().any(|embedding| embedding.path == *path);
            if !twice && prompts.iter().any(|prompt| word.is_in(prompt)) {
                used.push(Arc::new(found?));
            }
        }
        Ok(used)
    }

    /// Hashes of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn hashes(&self) -> Result<Hashes> {
        Hashes::of_embedding(&self.path)
    }

    /// The word for the first text encoder that the file has vectors for.
    fn any_word(&self) -> Word {
        let word = self
            .word(Component::TextEncoder)
            .or_else(|| self.word(Component::TextEncoder2));
        word.unwrap_or_else(|| Self::nameless(&self.path))
    }

    /// Returns the vectors for a text encoder, if the file has any.
    pub fn row(&self, component: Component) -> Option<Row> {
        let own = |vectors: &&Vectors| vectors.component.is_none_or(|own| own == component);
        let Vectors {
            tensor,
            count,
            width,
            ..
        } = self.vectors.iter().find(own)?.clone();
        Some(Row {
            tensor,
            count,
            width,
        })
    }

    /// Returns the word, in every spelling, as a text encoder finds it in a prompt.
    pub fn word(&self, component: Component) -> Option<Word> {
        let vectors = self.row(component)?.count;
        let mut word = Word {
            vectors,
            ..Self::nameless(&self.path)
        };
        word.names.extend(self.token.clone());
        Some(word)
    }

    /// The word as given by the file name alone, with no vectors.
    fn nameless(path: &Path) -> Word {
        let name = file_stem(path);
        Word {
            names: vec![format!("<{name}>"), name],
            vectors: 0,
        }
    }

    /// Checks that the vectors are as wide as the hidden states of the model's text encoders, and
    /// that each encoder has its own.
    ///
    /// # Errors
    /// They are not, or an encoder goes without; the message names file, expected and got.
    pub fn fits(&self, files: &ModelFiles) -> Result<()> {
        let encoders = [Component::TextEncoder, Component::TextEncoder2];
        let encoders: Vec<Component> = encoders
            .into_iter()
            .filter(|component| files.has(&component.config()))
            .collect();
        let mut widths = Vec::new();
        for encoder in &encoders {
            let Width { hidden_size } = files.json(&encoder.config())?;
            widths.push((*encoder, hidden_size));
        }
        // A single tensor belongs to the one encoder of a model; two encoders need one each.
        let single = self
            .vectors
            .iter()
            .any(|vectors| vectors.component.is_none());
        let alone = encoders.as_slice() == [Component::TextEncoder];
        let fit = |(encoder, width): &(Component, usize)| {
            self.row(*encoder).is_some_and(|row| row.width == *width) && single == alone
        };
        if widths.iter().all(fit) {
            return Ok(());
        }
        let got = self.vectors.iter().map(|vectors| match vectors.component {
            None => vectors.width.to_string(),
            Some(_) => format!("{} of {}", vectors.tensor, vectors.width),
        });
        let expected = widths.iter().map(|(encoder, width)| {
            match ENCODERS.iter().find(|row| row.1 == *encoder) {
                Some((key, _)) if !alone => format!("{key} of {width}"),
                _ => width.to_string(),
            }
        });
        let what = format!(
            "`{}` has vectors of width {}, expected {} for `{}`",
            self.path.display(),
            listed(got),
            listed(expected),
            files.origin
        );
        Err(Error::new(Kind::ModelFile, what)
            .hint("768 is Stable Diffusion 1, 1024 is 2, clip_l and clip_g together are SDXL"))
    }
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" and ")
}
