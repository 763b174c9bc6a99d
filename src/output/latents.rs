//! Latents that could not be decoded, kept in a file: the result of the denoising loop with the
//! request that led to it, so that only the decoding has to be repeated.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::atomic_file::{Existing, save};
use super::metadata::{Provenance, Record};
use crate::error::{Error, Kind, Result};

/// Name of the tensor in the file.
const TENSOR: &str = "latents";
/// Suffix of the names of files with latents.
pub const SUFFIX: &str = "latents.safetensors";
/// Key of the request in the file's metadata.
const KEYWORD: &str = "sdgen";
/// Longest file that is read: latents of the largest picture take less.
const LONGEST: u64 = 64 << 20;

/// Denoised latents of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Latents {
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// Values as the sampler returned them.
    pub values: Vec<f32>,
    /// The picture's seed.
    pub seed: u64,
    /// Index of the image within the request, from 0.
    pub index: u64,
}

/// Contents of a file of latents.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The latents.
    pub latents: Latents,
    /// The request that made them.
    pub record: Record,
}

impl Latents {
    /// Writes the latents next to the image that they were to become: `a.png` →
    /// `a.latents.safetensors`.
    ///
    /// # Errors
    /// As [`save`].
    pub fn save(
        &self,
        provenance: &Provenance<'_>,
        picture: &Path,
        existing: Existing,
    ) -> Result<PathBuf> {
        save(
            &self.file(provenance)?,
            &picture.with_extension(SUFFIX),
            existing,
        )
    }

    /// The bytes of the file (safetensors) with the latents and their request.
    ///
    /// # Errors
    /// None: plain numbers with plain texts always serialise.
    pub fn file(&self, provenance: &Provenance<'_>) -> Result<Vec<u8>> {
        let failed =
            |e: safetensors::SafeTensorError| Error::internal("cannot write latents").source(e);
        let bytes: Vec<u8> = self
            .values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let view = TensorView::new(Dtype::F32, [&[1], &self.shape[..]].concat(), &bytes)
            .map_err(failed)?;
        let metadata = HashMap::from([(KEYWORD.to_owned(), provenance.json(self.seed)?)]);
        safetensors::serialize([(TENSOR, view)], Some(metadata)).map_err(failed)
    }
}

impl Kept {
    /// Reads a file of latents.
    ///
    /// # Errors
    /// A file that is missing, or that no sdgen wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |what: Cow<'static, str>| {
            Error::field("from_latents", format!("`{}` {what}", path.display()))
                .hint("expected a file that sdgen kept when a picture could not be decoded")
        };
        let bytes = contents(path).map_err(|e| wrong(format!("cannot be read: {e}").into()))?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|e| wrong(format!("holds no tensors: {e}").into()))?;
        let view = tensors
            .tensor(TENSOR)
            .map_err(|_| wrong("holds no latents".into()))?;
        let &[1, c, h, w] = view.shape() else {
            return Err(wrong("holds latents of a strange shape".into()));
        };
        if view.dtype() != Dtype::F32 {
            return Err(wrong("holds latents of a strange type".into()));
        }
        let values: Vec<f32> = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(wrong("holds latents that are no numbers".into()));
        }
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|_| wrong("holds no metadata".into()))?;
        let text = header
            .metadata()
            .as_ref()
            .and_then(|map| map.get(KEYWORD))
            .cloned();
        let text = text.ok_or_else(|| wrong("does not say what it was made from".into()))?;
        let record: Record = serde_json::from_str(&text)
            .map_err(|e| wrong(format!("has a damaged record: {e}").into()))?;
        let seed = record.request()?.seed;
        Ok(Self {
            latents: Latents {
                shape: [c, h, w],
                values,
                seed,
                index: 0,
            },
            record,
        })
    }
}

fn contents(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Adds a hint to the error of a failed image: the path of its latents.
pub fn with_path_hint(error: Error, path: &Path) -> Error {
    debug_assert_ne!(error.kind(), Kind::Interrupted);
    let path = path.display();
    error.hint(format!(
        "its latents are kept: `sdgen --from-latents {path}` decodes them without drawing again"
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::output::metadata::tests::request;

    #[test]
    fn latents_come_back_with_their_request() {
        let folder = tempfile::tempdir().unwrap();
        let request = request();
        let weights = BTreeMap::from([("unet".to_owned(), "00".to_owned())]);
        let provenance = Provenance {
            request: &request,
            model: "sd15",
            weights: &weights,
            inputs: &BTreeMap::new(),
            license: None,
        };
        let latents = Latents {
            shape: [4, 1, 2],
            values: (0..8).map(|i| i as f32 - 3.5).collect(),
            seed: 6,
            index: 1,
        };
        let path = latents
            .save(&provenance, &folder.path().join("a.b.png"), Existing::Keep)
            .unwrap();
        assert_eq!(path.file_name().unwrap(), "a.b.latents.safetensors");
        let kept = Kept::read(&path).unwrap();
        assert_eq!(
            kept.latents,
            Latents {
                index: 0,
                ..latents
            }
        );
        assert_eq!(
            (kept.record.request().unwrap().seed, kept.record.weights),
            (6, weights)
        );
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        for bytes in [
            &b""[..],
            b"PNG",
            &[
                8, 0, 0, 0, 0, 0, 0, 0, b'{', b'}', b' ', b' ', b' ', b' ', b' ', b' ',
            ],
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Kept::read(&path).unwrap_err();
            assert!(
                error.field_name() == Some("from_latents")
                    && error.message().contains("x.safetensors")
            );
        }
    }
}
