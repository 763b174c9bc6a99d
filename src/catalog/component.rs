//! Parts of a diffusers model, and where each has its configuration and its weights.

use crate::error::{Error, Kind};
use crate::named_enum::named_enum;

named_enum! {
    /// A part of a diffusers folder; the name is the sub-folder.
    pub enum Component("component") {
        /// Text encoder.
        TextEncoder = "text_encoder",
        /// Second text encoder of the XL family.
        TextEncoder2 = "text_encoder_2",
        /// Denoising network.
        Unet = "unet",
        /// Autoencoder.
        Vae = "vae",
    }
}

impl Component {
    /// Error about a single-file model without this part.
    pub(super) fn missing_from(self, file: &str) -> Error {
        let (what, hint) = match self {
            Self::TextEncoder | Self::TextEncoder2 => (
                "text encoder",
                "`--config FOLDER` names a folder that has it",
            ),
            Self::Unet => ("denoising network", "give the whole model"),
            Self::Vae => (
                "autoencoder",
                "give one with `--vae`, or `--config FOLDER` for a folder that has it",
            ),
        };
        let second = if self == Self::TextEncoder2 {
            "second "
        } else {
            ""
        };
        Error::new(
            Kind::ModelFile,
            format!("`{file}` has no {second}{what} in it"),
        )
        .hint(hint)
    }

    /// Path of its configuration.
    pub fn config(self) -> String {
        format!("{self}/config.json")
    }

    /// File stem of its weights.
    fn stem(self) -> &'static str {
        match self {
            Self::TextEncoder | Self::TextEncoder2 => "model",
            Self::Unet | Self::Vae => "diffusion_pytorch_model",
        }
    }

    /// Paths of the weights, in order of preference: whole or in shards (`.index.json`), full or in
    /// a 16-bit variant.
    pub fn weights(self) -> [String; 4] {
        let stem = self.stem();
        [
            format!("{self}/{stem}.safetensors"),
            format!("{self}/{stem}.safetensors.index.json"),
            format!("{self}/{stem}.fp16.safetensors"),
            format!("{self}/{stem}.safetensors.index.fp16.json"),
        ]
    }
}
