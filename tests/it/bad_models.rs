//! Models that are damaged or of another make: each is refused with the file's name and what is
//! wrong in it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::{copy, golden_model, sdgen, tiny};

/// A copy of a model of the golden tests, to be spoilt.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(Path::new(&golden_model("sd15")), folder.path());
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces text in a file, which has to be there.
    fn replace(self, name: &str, old: &str, new: &str) -> Self {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(old), "{name} has no {old}");
        std::fs::write(self.path(name), text.replacen(old, new, 1)).unwrap();
        self
    }

    fn truncate(self, name: &str, length: usize) -> Self {
        let bytes = std::fs::read(self.path(name)).unwrap();
        std::fs::write(self.path(name), &bytes[..length.min(bytes.len() - 1)]).unwrap();
        self
    }

    fn remove(self, name: &str) -> Self {
        std::fs::remove_file(self.path(name)).unwrap();
        self
    }

    /// Draws with the model, and expects a refusal that says all of `texts`.
    fn must_be_refused(self, code: i32, texts: &[&str]) {
        let outcome = sdgen()
            .args(tiny())
            .arg_path("--model", self.0.path())
            .fails(code);
        let outcome = texts
            .iter()
            .fold(outcome, |outcome, text| outcome.says(text));
        assert!(outcome.files().is_empty(), "{:?}", outcome.files());
    }
}

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

#[test]
fn a_truncated_file_of_weights() {
    for length in [0, 7, 100, 100_000, usize::MAX] {
        Copy::new()
            .truncate(UNET, length)
            .must_be_refused(5, &["error: ", UNET]);
    }
}

#[test]
fn a_tensor_of_the_wrong_shape() {
    let wrong = Copy::new().replace(
        "vae/config.json",
        "\"latent_channels\": 4",
        "\"latent_channels\": 5",
    );
    wrong.must_be_refused(5, &["unet/config.json", "takes 4 channels", "expected 5"]);
    let text = std::fs::read_to_string(Copy::new().path("text_encoder/config.json")).unwrap();
    let size = text
        .split("\"max_position_embeddings\": ")
        .nth(1)
        .unwrap()
        .split([',', '\n'])
        .next()
        .unwrap()
        .to_owned();
    let old = format!("\"max_position_embeddings\": {size}");
    Copy::new()
        .replace(
            "text_encoder/config.json",
            &old,
            "\"max_position_embeddings\": 78",
        )
        .must_be_refused(
            5,
            &[
                "text_encoder/model.safetensors",
                "position_embedding",
                "78",
                &size,
            ],
        );
}

#[test]
fn a_configuration_of_another_make() {
    Copy::new()
        .replace(
            "unet/config.json",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock3D",
        )
        .must_be_refused(5, &["CrossAttnDownBlock3D"]);
    Copy::new()
        .replace(
            "model_index.json",
            "StableDiffusionPipeline",
            "FluxPipeline",
        )
        .must_be_refused(5, &["`FluxPipeline`", "does not run"]);
    Copy::new()
        .replace("vae/config.json", "{", "{{")
        .must_be_refused(5, &["vae/config.json"]);
    Copy::new()
        .remove("scheduler/scheduler_config.json")
        .must_be_refused(5, &["scheduler_config.json"]);
    Copy::new().remove(UNET).must_be_refused(5, &["unet"]);
}
