//! The demo model: small enough to be compiled in, so that the program draws something on any
//! machine at once.

/// Its name in models.toml.
pub(super) const NAME: &str = "demo";

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../assets/demo/", $path)))),+]
    };
}

/// Its files: (path, content).
pub(super) static FILES: &[(&str, &[u8])] = files![
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{ModelFiles, RepoConfig, models, needs};

    #[test]
    fn the_demo_model_is_complete_and_has_its_row() {
        let files = ModelFiles::embedded(NAME, FILES);
        assert_eq!(needs::missing(&files, None), None);
        let spec = models().iter().find(|spec| spec.name == NAME).unwrap();
        assert_eq!(RepoConfig::read(&files).unwrap().native_size, spec.size);
    }
}
