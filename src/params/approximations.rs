//! Approximations that save time at a cost in quality; docs/performance.md states gain and cost.

use serde::{Deserialize, Serialize};

use super::values::get;
use super::{DeepCache, Params};
use crate::error::{Error, Result};

/// Largest share of the tokens that may be merged: one of every 2 × 2 remains.
const MERGE_MOST: f64 = 0.75;

/// Approximations of a run; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Approximations {
    /// Calls of the network from one computation of the deep features to the next; the others
    /// reuse them (Ma et al., "DeepCache", 2023).
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

impl Approximations {
    /// Reads the approximations from `params`.
    pub(super) fn resolve(params: &Params) -> Result<Self> {
        let merge_tokens = params.merge_tokens.unwrap_or(0.0);
        if !(0.0..=MERGE_MOST).contains(&merge_tokens) {
            let expected = format!("a share from 0 to {MERGE_MOST}");
            return Err(Error::expected("merge_tokens", &expected, merge_tokens));
        }
        let cache = get("cache", &params.cache)?.map(|DeepCache(every)| every);
        Ok(Self {
            cache,
            merge_tokens,
        })
    }

    /// Returns true if the run uses no approximation.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approximations_are_read_and_wrong_ones_named() {
        let resolve = |cache: Option<&str>, merge_tokens| {
            Approximations::resolve(&Params {
                cache: cache.map(Into::into),
                merge_tokens,
                ..Params::default()
            })
        };
        let field = |cache, merge_tokens| {
            let error = resolve(cache, merge_tokens).unwrap_err();
            error.field_name().unwrap().to_owned()
        };
        assert!(resolve(None, None).unwrap().is_none());
        assert_eq!(resolve(Some("deep"), None).unwrap().cache, Some(3));
        assert_eq!(
            resolve(Some("deep:5"), Some(0.5)).unwrap(),
            Approximations {
                cache: Some(5),
                merge_tokens: 0.5
            }
        );
        for text in ["", "deep:", "deep:1", "shallow", "deep:x"] {
            assert_eq!(field(Some(text), None), "cache", "{text}");
        }
        assert_eq!(field(None, Some(0.9)), "merge_tokens");
        assert_eq!(field(None, Some(f64::NAN)), "merge_tokens");
    }
}
