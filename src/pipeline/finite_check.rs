//! Check that the output of a network is finite, and search for the layer with the first non-finite
//! value.

use candle_core::Tensor;

use crate::error::{Error, Kind, Result};
use crate::nn::{first_nonfinite_layer, is_finite};

/// Returns the output of `run` if the tensor `of` it is finite throughout. Otherwise the same call
/// is repeated with the watch of every layer on, so that a sound run pays nothing for the name of
/// the layer; `what` names the network and the call.
pub(super) fn check_finite<T>(
    what: impl FnOnce() -> String,
    mut run: impl FnMut() -> Result<T>,
    of: impl Fn(&T) -> &Tensor,
) -> Result<T> {
    let output = run()?;
    if is_finite(of(&output))? {
        return Ok(output);
    }
    let first = first_nonfinite_layer(run)
        .map(|layer| format!(", from layer `{layer}` on"))
        .unwrap_or_default();
    Err(invalid_image(&format!(
        "{} gives values that are no numbers (NaN or infinite){first}",
        what()
    )))
}

/// Error of an invalid image.
pub(super) fn invalid_image(what: &str) -> Error {
    Error::new(Kind::InvalidImage, what)
        .hint("try another seed or `--dtype f32`; if it stays, the weights are damaged or of another model")
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_network_and_the_call_are_named() {
        let call = |value: f32| {
            let run = || Ok(Tensor::new(&[0.0, value], &Device::Cpu)?);
            check_finite(|| "the network at call 3".to_owned(), run, |tensor| tensor)
        };
        assert!(call(1.0).is_ok());
        let error = call(f32::NAN).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidImage);
        assert!(
            error
                .to_string()
                .starts_with("the network at call 3 gives values"),
            "{error}"
        );
    }
}
