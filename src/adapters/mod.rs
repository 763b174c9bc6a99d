//! LoRAs and textual inversions: which files a request uses, what is in them, and where in a model
//! it belongs. Read by headers alone; numbers are `nn`'s and the pipeline's work.

mod embedding;
mod find;
mod fit;
mod hash;
mod lora;
mod names;
mod parts;
mod shelf;
mod training;

pub use embedding::{Embedding, Row};
pub use find::{embeddings, named};
pub use hash::Hashes;
pub use lora::{Change, Fitted, LoraFile, Scale};
pub use names::Index;
pub use parts::{Factor, Form};
pub use shelf::Shelf;

use std::sync::Arc;

use crate::registry::Component;

/// The adapters of a request, fitted to its model.
#[derive(Clone, Debug, Default)]
pub struct Adapters {
    /// LoRAs that change something, in the order in which they were given.
    pub loras: Vec<Lora>,
    /// Embeddings that its prompts use, in the order in which they were given.
    pub embeddings: Vec<Arc<Embedding>>,
}

/// A LoRA that is merged into a model.
#[derive(Clone, Debug)]
pub struct Lora {
    /// The file.
    pub file: Arc<LoraFile>,
    /// How strongly.
    pub weight: f64,
    /// What it changes.
    pub fitted: Fitted,
}

impl Adapters {
    /// The LoRAs that change a component.
    pub fn of(&self, component: Component) -> impl Iterator<Item = &Lora> {
        self.loras
            .iter()
            .filter(move |lora| lora.changes(component).next().is_some())
    }

    /// What tells the weights of some components from those with other LoRAs, or with none.
    pub fn key(&self, components: &[Component]) -> Vec<(String, u64)> {
        let touching = |lora: &&Lora| {
            components
                .iter()
                .any(|part| lora.changes(*part).next().is_some())
        };
        let key = |lora: &Lora| (lora.file.hashes.file.clone(), lora.weight.to_bits());
        self.loras.iter().filter(touching).map(key).collect()
    }
}

impl Lora {
    /// What it changes of a component.
    pub fn changes(&self, component: Component) -> impl Iterator<Item = &Change> {
        self.fitted
            .changes
            .iter()
            .filter(move |change| change.component == component)
    }
}
