//! Latents of a family: scale, statistics and approximate colours; and the mean and
//! deviation of each channel, which the files of some autoencoders name (Playground v2.5's).

use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// Latents of a family's models.
pub struct LatentFormat {
    /// `scaling_factor` of the family's own autoencoder, for which `rgb` is made.
    pub scaling_factor: f64,
    /// True if the pipelines scale latents by the autoencoder's `latents_mean` and `latents_std`.
    pub reads_statistics: bool,
    /// True if the pipelines decode in single precision where the autoencoder has `force_upcast`.
    pub reads_force_upcast: bool,
    /// Approximate colours, for previews.
    pub rgb: LatentRgb,
}

/// Colour of a latent cell, approximately, as a linear function of its channels.
pub struct LatentRgb {
    /// Red, green and blue in 255ths for each channel.
    pub factors: &'static [[f64; 3]],
    /// Colour of zeros.
    pub bias: [f64; 3],
}

impl LatentRgb {
    /// The colour of a cell with one value for each channel. NaN becomes 0.
    pub fn colour(&self, cell: &[f32]) -> [u8; 3] {
        debug_assert_eq!(cell.len(), self.factors.len());
        [0, 1, 2].map(|k| {
            let rows = self.factors.iter().zip(cell);
            let sum: f64 = rows.map(|(row, &value)| row[k] * f64::from(value)).sum();
            (sum + self.bias[k]).round() as u8
        })
    }
}

/// Two keys of an autoencoder's config.json.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct LatentStatistics {
    #[serde(default)]
    latents_mean: Option<Vec<f64>>,
    #[serde(default)]
    latents_std: Option<Vec<f64>>,
}

/// Mean and deviation of each channel.
pub type Moments = [Vec<f64>; 2];

impl LatentStatistics {
    /// Mean and deviation of each of `channels`, as diffusers' pipelines for latents of `format` read
    /// the file that messages call `file`: both keys or none, and of some families neither.
    ///
    /// # Errors
    /// Lists of other lengths, or numbers that latents cannot be divided by.
    pub fn moments(
        &self,
        format: &LatentFormat,
        channels: usize,
        file: &str,
    ) -> Result<Option<Moments>> {
        let Some([mean, std]) = self.both().filter(|_| format.reads_statistics) else {
            return Ok(None);
        };
        for (key, list) in [("latents_mean", mean), ("latents_std", std)] {
            let zero = key == "latents_std" && list.contains(&0.0);
            if list.len() != channels || zero || !list.iter().all(|value| value.is_finite()) {
                return Err(Error::new(
                    Kind::ModelFile,
                    format!(
                        "{file}: `{key}` is {list:?}, expected a number for each of {channels} channels"
                    ),
                ));
            }
        }
        Ok(Some([mean.to_vec(), std.to_vec()]))
    }

    /// Both, if both are there.
    pub fn both(&self) -> Option<[&[f64]; 2]> {
        Some([self.latents_mean.as_deref()?, self.latents_std.as_deref()?])
    }

    /// The keys that are there and do not count for latents of `format`.
    pub fn ignored_keys(&self, format: &LatentFormat) -> Vec<&'static str> {
        if format.reads_statistics && self.both().is_some() {
            return Vec::new();
        }
        let there = [
            ("latents_mean", &self.latents_mean),
            ("latents_std", &self.latents_std),
        ];
        there
            .into_iter()
            .filter(|(_, list)| list.is_some())
            .map(|(key, _)| key)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;

    #[test]
    fn grey_latents_are_grey_and_colours_clamp() {
        let (sd, xl) = (&Family::SD.latents.rgb, &Family::SDXL.latents.rgb);
        assert_eq!(sd.colour(&[0.0; 4]), [128; 3]);
        assert_eq!(xl.colour(&[0.0; 4]), [150, 140, 130]);
        assert_eq!(xl.colour(&[9.0, 0.0, 0.0, 0.0]), [255; 3]);
        assert_eq!(sd.colour(&[f32::NAN, 0.0, 0.0, 0.0]), [0; 3]);
    }

    fn read(json: &str) -> LatentStatistics {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn both_keys_count_for_xl_and_none_elsewhere() {
        let both = read(r#"{"latents_mean": [1, 2], "latents_std": [3, 4]}"#);
        let moments = both.moments(&Family::SDXL.latents, 2, "f").unwrap();
        assert_eq!(moments, Some([vec![1.0, 2.0], vec![3.0, 4.0]]));
        assert_eq!(both.moments(&Family::SD.latents, 2, "f").unwrap(), None);
        assert_eq!(
            both.ignored_keys(&Family::SD.latents),
            ["latents_mean", "latents_std"]
        );
        assert!(both.ignored_keys(&Family::SDXL.latents).is_empty());
        let half = read(r#"{"latents_mean": null, "latents_std": [3, 4]}"#);
        assert_eq!(half.moments(&Family::SDXL.latents, 2, "f").unwrap(), None);
        assert_eq!(half.ignored_keys(&Family::SDXL.latents), ["latents_std"]);
    }

    #[test]
    fn lists_that_latents_cannot_be_scaled_by_are_refused_by_name() {
        for (json, key) in [
            (
                r#"{"latents_mean": [1], "latents_std": [3, 4]}"#,
                "latents_mean",
            ),
            (
                r#"{"latents_mean": [1, 2], "latents_std": [3, 4, 5]}"#,
                "latents_std",
            ),
            (
                r#"{"latents_mean": [1, 2], "latents_std": [3, 0]}"#,
                "latents_std",
            ),
        ] {
            let error = read(json)
                .moments(&Family::SDXL.latents, 2, "vae/config.json")
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(key) && error.contains("vae/config.json"),
                "{error}"
            );
        }
    }
}
