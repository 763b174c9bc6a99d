//! Images that condition a request: ControlNets, each with its image, its scale and the part of the
//! run in which it is active, and the image prompt of an IP-Adapter.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::values::{get, get_all, in_range};
use super::{FromText, Interval, Params};
use crate::error::{Error, Result};
use crate::image::ImageSource;
use crate::imaging::{Preprocessor, Thresholds};

/// A ControlNet with its conditioning image; serialised in the form of the `--control` flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Control {
    /// The network as the user would name it.
    pub model: String,
    /// Source of the conditioning image.
    pub image: ImageSource,
    /// Preprocessor of the image; the network gets the image itself without one.
    pub preprocessor: Option<Preprocessor>,
    /// Conditioning scale: factor of the network's residuals.
    pub scale: f64,
    /// Part of the run in which the network is active.
    pub interval: Interval,
}

/// Largest scale; beyond it no ControlNet or IP-Adapter gives a usable image.
const MAX_SCALE: f64 = 10.0;
/// The form of a control.
const FORM: &str = "`MODEL=IMAGE[:SCALE[:START-END]]`";

impl Control {
    /// The ControlNets of `params`, and the Canny thresholds if any of them uses edges.
    pub(super) fn resolve(params: &Params) -> Result<(Vec<Self>, Option<Thresholds>)> {
        let controls = get_all("control", &params.control)?;
        let thresholds = get("canny", &params.canny)?;
        let is_canny = |control: &Self| control.preprocessor == Some(Preprocessor::Canny);
        let has_edges = controls.iter().any(is_canny);
        if thresholds.is_some() && !has_edges {
            return Err(
                Error::field("canny", "there is no picture of which edges are drawn")
                    .hint("write one as `--control MODEL=canny:IMAGE`"),
            );
        }
        if params.control_guess == Some(true) && controls.is_empty() {
            return Err(Error::field(
                "control_guess",
                "there is no control network for this option",
            )
            .hint("give one with `--control MODEL=IMAGE`"));
        }
        Ok((controls, has_edges.then(|| thresholds.unwrap_or_default())))
    }
}

impl FromText for Control {
    fn from_text(field: &str, text: &str) -> Result<Self> {
        let broken = || {
            Error::expected(field, FORM, text)
                .hint("for example `lllyasviel/control_v11p_sd15_canny=canny:photo.jpg:0.8:0-0.7`")
        };
        let (model, rest) = text.split_once('=').ok_or_else(broken)?;
        // From the end: the picture's own path may have colons.
        let (rest, interval) = tail(rest, |tail| tail.split_once('-').and_then(numbers));
        let (rest, scale) = tail(rest, |tail| tail.parse::<f64>().ok());
        let (preprocessor, image) = Preprocessor::split_prefix(rest);
        if model.is_empty() || image.is_empty() {
            return Err(broken());
        }
        let scale = scale.unwrap_or(1.0);
        if !(0.0..=MAX_SCALE).contains(&scale) {
            return Err(Error::expected(
                field,
                format!("a scale from 0 to {MAX_SCALE}"),
                scale,
            ));
        }
        let (from, to) = interval.unwrap_or((0.0, 1.0));
        if !(0.0 <= from && from < to && to <= 1.0) {
            let got = format!("{from}-{to}");
            return Err(Error::expected(
                field,
                "`START-END` with 0 ≤ START < END ≤ 1",
                got,
            ));
        }
        let (model, image) = (model.to_owned(), image.into());
        Ok(Self {
            model,
            image,
            preprocessor,
            scale,
            interval: Interval { from, to },
        })
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            image,
            preprocessor,
            scale,
            interval: Interval { from, to },
        } = self;
        let prefix = preprocessor.map_or(String::new(), |preprocessor| format!("{preprocessor}:"));
        write!(f, "{model}={prefix}{image}:{scale}:{from}-{to}")
    }
}

impl From<Control> for String {
    fn from(control: Control) -> Self {
        control.to_string()
    }
}

impl TryFrom<String> for Control {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::from_text("control", &text)
    }
}

/// Splits off the text behind the last colon if `read` accepts it: the text before the colon, and
/// the value; the whole text if not.
fn tail<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> (&str, Option<T>) {
    match text
        .rsplit_once(':')
        .and_then(|(head, tail)| Some((head, read(tail)?)))
    {
        Some((head, value)) => (head, Some(value)),
        None => (text, None),
    }
}

fn numbers((a, b): (&str, &str)) -> Option<(f64, f64)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// An image prompt next to the text prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IpAdapterInput {
    /// The adapter as the user would name it.
    #[serde(rename = "ip_adapter")]
    pub adapter: String,
    /// Source of the image.
    #[serde(rename = "ip_image")]
    pub image: ImageSource,
    /// Scale of the attention to the image; that of the attention to the text is 1.
    #[serde(rename = "ip_scale")]
    pub scale: f64,
}

impl IpAdapterInput {
    /// The image prompt of `params`, if they have one.
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
                    "picture for this option",
                    "--ip-adapter FILE --ip-image IMAGE",
                );
            }
            (None, None) => return Ok(None),
        };
        in_range("ip_scale", params.ip_scale, 0.0, MAX_SCALE)?;
        Ok(Some(Self {
            adapter,
            image,
            scale: params.ip_scale.unwrap_or(1.0),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Control> {
        let params = Params {
            control: Some(vec![text.into()]),
            ..Params::default()
        };
        Control::resolve(&params).map(|(mut controls, _)| controls.remove(0))
    }

    #[test]
    fn the_picture_may_have_edges_drawn_a_scale_and_an_interval() {
        let whole = resolve("org/net@v1=canny:a b.png:0.8:0.2-0.7").unwrap();
        let expected = Control {
            model: "org/net@v1".into(),
            image: "a b.png".into(),
            preprocessor: Some(Preprocessor::Canny),
            scale: 0.8,
            interval: Interval { from: 0.2, to: 0.7 },
        };
        assert_eq!(whole, expected);
        assert_eq!(whole.to_string(), "org/net@v1=canny:a b.png:0.8:0.2-0.7");
        let bare = resolve("net.safetensors=C:\\a.png").unwrap();
        let fields = (
            bare.image.name(),
            bare.preprocessor,
            bare.scale,
            bare.interval,
        );
        assert_eq!(fields, ("C:\\a.png", None, 1.0, Interval::default()));
        assert_eq!(resolve(&bare.to_string()).unwrap(), bare);
        let late = resolve("net=a.png:0.5-1").unwrap();
        assert_eq!(
            (late.image.name(), late.scale, late.interval.from),
            ("a.png", 1.0, 0.5)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |text: &str| {
            let error = resolve(text).unwrap_err();
            assert_eq!(error.field_name(), Some("control"), "{text}");
            error.to_string()
        };
        for text in ["", "net", "net=", "=a.png", "net=canny:"] {
            assert!(message(text).contains(FORM), "{text}");
        }
        for text in ["net=a.png:11", "net=a.png:-1", "net=a.png:NaN"] {
            assert!(message(text).contains("a scale from 0 to 10"), "{text}");
        }
        for text in [
            "net=a.png:1:0.7-0.2",
            "net=a.png:1:0.5-0.5",
            "net=a.png:0-1.5",
        ] {
            assert!(message(text).contains("START < END"), "{text}");
        }
    }

    #[test]
    fn options_without_their_control_are_named() {
        let field = |params: Params| {
            Control::resolve(&params)
                .unwrap_err()
                .field_name()
                .unwrap()
                .to_owned()
        };
        let control = Some(vec!["net=a.png".into()]);
        assert_eq!(
            field(Params {
                canny: Some("1,2".into()),
                control: control.clone(),
                ..Params::default()
            }),
            "canny"
        );
        for canny in ["2,1", "a,b", "100"] {
            assert_eq!(
                field(Params {
                    canny: Some(canny.into()),
                    control: control.clone(),
                    ..Params::default()
                }),
                "canny"
            );
        }
        assert_eq!(
            field(Params {
                control_guess: Some(true),
                ..Params::default()
            }),
            "control_guess"
        );
    }

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
                ip_image: image.clone().map(Into::into),
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
            ip_image: image.map(Into::into),
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
