//! Search for the first layer with a NaN or an infinity: while the trace is on, every layer checks
//! its own output, and the first with a non-finite value is recorded by name. The trace is off in
//! an ordinary run.

use std::cell::{Cell, RefCell};

use candle_core::{DType, Tensor};

use super::map::Store;
use crate::error::Result;

thread_local! {
    static TRACING: Cell<bool> = const { Cell::new(false) };
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` with the trace on and returns the first layer whose output is not finite, if any.
/// The result of `work` is discarded.
pub(crate) fn first_nonfinite_layer<T>(work: impl FnOnce() -> Result<T>) -> Option<String> {
    FIRST.take();
    TRACING.set(true);
    // The same call succeeded before; if it fails now, the layer recorded until then is the answer.
    let _ = work();
    TRACING.set(false);
    FIRST.take()
}

/// Checks the output of the layer `name` while the trace is on.
pub(super) fn check(name: &str, output: &Store) {
    if !TRACING.get() || FIRST.with_borrow(Option::is_some) {
        return;
    }
    let broken = match output {
        Store::Host(host) => !host.finite(),
        Store::Device(tensor) => !is_finite(tensor).unwrap_or(true),
    };
    if broken {
        FIRST.set(Some(name.to_owned()));
    }
}

/// Returns true if every element is finite.
pub(crate) fn is_finite(tensor: &Tensor) -> Result<bool> {
    // Zero times a number is zero; times NaN or infinity it is NaN, which no sum gets rid of.
    let sum = (tensor.to_dtype(DType::F32)? * 0.0)?
        .sum_all()?
        .to_scalar::<f32>()?;
    Ok(sum == 0.0)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn store(values: &[f32]) -> Store {
        Store::Device(Tensor::new(values, &Device::Cpu).unwrap())
    }

    #[test]
    fn the_first_broken_layer_is_named_and_only_while_tracing() {
        check("before", &store(&[f32::NAN]));
        let first = first_nonfinite_layer(|| {
            check("fine", &store(&[1.0, -3e38]));
            check("broken", &store(&[1.0, f32::INFINITY]));
            check("behind", &store(&[f32::NAN]));
            Ok(())
        });
        assert_eq!(first.as_deref(), Some("broken"));
        let sound = first_nonfinite_layer(|| {
            check("fine", &store(&[0.0]));
            Ok(())
        });
        assert_eq!(sound, None);
    }
}
