//! Image prompt of a request: the IP-Adapter, its image and its scale.

use serde::{Deserialize, Serialize};

use super::Params;
use crate::error::{Error, Result};

/// An image prompt next to the text prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IpAdapterInput {
    /// The adapter as the user would name it.
    #[serde(rename = "ip_adapter")]
    pub adapter: String,
    /// Path of the image.
    #[serde(rename = "ip_image")]
    pub image: String,
    /// Scale of the attention to the image; that of the attention to the text is 1.
    #[serde(rename = "ip_scale")]
    pub scale: f64,
}

impl IpAdapterInput {
    /// The image prompt of `params`, if they have one.
    ///
    /// # Errors
    /// An adapter without a picture, or the other way round; a scale out of range.
    pub(super) fn resolve(params: &Params) -> Result<Option<Self>> {
        let lacks = |field: &str, what: &str, flag: &str| {
            Err(Error::field(field, format!("there is no {what}"))
                .hint(format!("give one with `{flag}`")))
        };
        let (adapter, image) = match (&params.ip_adapter, &params.ip_image) {
            (Some(adapter), Some(image)) => (adapter.clone(), image.clone()),
            (None, Some(_)) => {
                return lacks(
                    "ip_image",
                    "adapter to read this picture",
                    "--ip-adapter FILE",
                );
            }
            (Some(_), None) => {
                return lacks("ip_adapter", "picture for this adapter", "--ip-image IMAGE");
            }
            (None, None) if params.ip_scale.is_some() => {
                return lacks(
                    "ip_scale",
                    "picture that this could be about",
                    "--ip-adapter FILE --ip-image IMAGE",
                );
            }
            (None, None) => return Ok(None),
        };
        let scale = params.ip_scale.unwrap_or(1.0);
        if !(0.0..=10.0).contains(&scale) {
            return Err(Error::expected("ip_scale", "a number from 0 to 10", scale));
        }
        Ok(Some(Self {
            adapter,
            image,
            scale,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapter_and_picture_go_together() {
        let (adapter, image) = (Some("a.safetensors".to_owned()), Some("a.png".to_owned()));
        let field = |params: Params| {
            IpAdapterInput::resolve(&params)
                .unwrap_err()
                .field_name()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            field(Params {
                ip_adapter: adapter.clone(),
                ..Params::default()
            }),
            "ip_adapter"
        );
        assert_eq!(
            field(Params {
                ip_image: image.clone(),
                ..Params::default()
            }),
            "ip_image"
        );
        assert_eq!(
            field(Params {
                ip_scale: Some(0.5),
                ..Params::default()
            }),
            "ip_scale"
        );
        let both = Params {
            ip_adapter: adapter,
            ip_image: image,
            ..Params::default()
        };
        assert_eq!(
            field(Params {
                ip_scale: Some(-1.0),
                ..both.clone()
            }),
            "ip_scale"
        );
        assert_eq!(IpAdapterInput::resolve(&both).unwrap().unwrap().scale, 1.0);
    }
}
