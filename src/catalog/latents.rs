//! Mean and deviation of each latent channel, which the files of some autoencoders name (Playground
//! v2.5's): what they say, and where it counts.

use serde::Deserialize;

use super::Family;
use crate::error::{Error, Kind, Result};

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
    /// Those of each of `channels`, as diffusers' pipelines of `family` read the file that messages
    /// call `file`: XL's use both keys or none, others neither.
    ///
    /// # Errors
    /// Lists of other lengths, or numbers that latents cannot be divided by.
    pub fn counted(&self, family: Family, channels: usize, file: &str) -> Result<Option<Moments>> {
        let (Some(mean), Some(std), Family::Xl) = (&self.latents_mean, &self.latents_std, family)
        else {
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
        Ok(Some([mean.clone(), std.clone()]))
    }

    /// Both, if both are there.
    pub fn both(&self) -> Option<[&[f64]; 2]> {
        Some([self.latents_mean.as_deref()?, self.latents_std.as_deref()?])
    }

    /// The keys that are there and do not count for `family`.
    pub fn uncounted(&self, family: Family) -> Vec<&'static str> {
        let both = self.latents_mean.is_some() && self.latents_std.is_some();
        if both && family == Family::Xl {
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

    fn read(json: &str) -> LatentStatistics {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn both_keys_count_for_xl_and_none_elsewhere() {
        let both = read(r#"{"latents_mean": [1, 2], "latents_std": [3, 4]}"#);
        let moments = both.counted(Family::Xl, 2, "f").unwrap();
        assert_eq!(moments, Some([vec![1.0, 2.0], vec![3.0, 4.0]]));
        assert_eq!(both.counted(Family::Sd, 2, "f").unwrap(), None);
        assert_eq!(both.uncounted(Family::Sd), ["latents_mean", "latents_std"]);
        assert!(both.uncounted(Family::Xl).is_empty());
        let half = read(r#"{"latents_mean": null, "latents_std": [3, 4]}"#);
        assert_eq!(half.counted(Family::Xl, 2, "f").unwrap(), None);
        assert_eq!(half.uncounted(Family::Xl), ["latents_std"]);
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
                .counted(Family::Xl, 2, "vae/config.json")
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(key) && error.contains("vae/config.json"),
                "{error}"
            );
        }
    }
}
