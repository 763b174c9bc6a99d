//! Approximations that save time at a cost in quality; docs/performance.md states gain and cost.

use serde::{Deserialize, Serialize};

use super::Params;
use crate::error::{Error, Result};

/// Default interval of DeepCache: of so many calls of the network, one computes the deep features.
const CACHE_EVERY: usize = 3;
/// Largest share of the tokens that may be merged: one of every 2 × 2 remains.
const MERGE_MOST: f64 = 0.75;

/// Approximations of a run; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Shortcuts {
    /// One of so many calls computes the deep features, the others reuse them (Ma et al.,
    /// "DeepCache", 2023).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<usize>,
    /// Share of the tokens of the largest feature maps that self-attention merges into their most
    /// similar neighbours (Bolya and Hoffman, "Token Merging for Fast Stable Diffusion", 2023).
    #[serde(skip_serializing_if = "is_zero")]
    pub merge_tokens: f64,
}

fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

impl Shortcuts {
    /// Reads the approximations from `params`.
    ///
    /// # Errors
    /// `cache` of another form than `deep[:N]` with N from 2 to 100; a share outside 0 to 0.75.
    pub fn resolve(params: &Params) -> Result<Self> {
        let merge_tokens = params.merge_tokens.unwrap_or(0.0);
        if !(0.0..=MERGE_MOST).contains(&merge_tokens) {
            let expected = format!("a share from 0 to {MERGE_MOST}");
            return Err(Error::expected("merge_tokens", &expected, merge_tokens));
        }
        Ok(Self {
            cache: params.cache.as_deref().map(cache).transpose()?,
            merge_tokens,
        })
    }

    /// Returns true if the run uses no approximation.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn cache(text: &str) -> Result<usize> {
    let every = match text.split_once(':') {
        None if text == "deep" => Some(CACHE_EVERY),
        Some(("deep", n)) => n.parse().ok().filter(|n| (2..=100).contains(n)),
        _ => None,
    };
    every.ok_or_else(|| {
        Error::expected(
            "cache",
            "`deep` or `deep:N` with N from 2 to 100, such as `deep:3`",
            text,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortcuts_are_read_and_wrong_ones_named() {
        let resolve = |cache: Option<&str>, merge_tokens| {
            Shortcuts::resolve(&Params {
                cache: cache.map(str::to_owned),
                merge_tokens,
                ..Params::default()
            })
        };
        assert!(resolve(None, None).unwrap().is_none());
        assert_eq!(resolve(Some("deep"), None).unwrap().cache, Some(3));
        assert_eq!(
            resolve(Some("deep:5"), Some(0.5)).unwrap(),
            Shortcuts {
                cache: Some(5),
                merge_tokens: 0.5
            }
        );
        for text in ["", "deep:", "deep:1", "shallow", "deep:x"] {
            assert!(
                resolve(Some(text), None)
                    .unwrap_err()
                    .to_string()
                    .starts_with("cache: "),
                "{text}"
            );
        }
        assert!(
            resolve(None, Some(0.9))
                .unwrap_err()
                .to_string()
                .starts_with("merge_tokens: ")
        );
        assert!(resolve(None, Some(f64::NAN)).is_err());
    }
}
