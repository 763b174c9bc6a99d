//! LoRAs and textual inversions: the files that a request uses, their contents, and the weights of
//! a model that they change. Only headers are read here; arithmetic is left to `nn` and the
//! pipeline.

mod cache;
mod discover;
mod embedding;
mod lora;
mod lora_layers;
mod module_names;
mod peft_config;

pub use cache::AdapterCache;
pub use discover::{Hashes, find_embeddings, find_lora};
pub use embedding::{Embedding, Row};
pub use lora::{Change, Fitted, LoraFile, Scale};
pub use lora_layers::{Factor, Form};
pub use module_names::ModuleNames;

use std::sync::Arc;

use crate::catalog::Component;

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
    /// Weight (strength) of the LoRA.
    pub weight: f64,
    /// Changes to the model.
    pub fitted: Fitted,
}

impl Adapters {
    /// The LoRAs that change a component.
    pub fn of(&self, component: Component) -> impl Iterator<Item = &Lora> {
        self.loras
            .iter()
            .filter(move |lora| lora.changes(component).next().is_some())
    }

    /// Returns the cache key of the merged weights of some components: file hash and weight of each
    /// LoRA that changes them.
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
    /// Returns the changes to one component.
    pub fn changes(&self, component: Component) -> impl Iterator<Item = &Change> {
        self.fitted
            .changes
            .iter()
            .filter(move |change| change.component == component)
    }
}
