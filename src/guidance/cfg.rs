//! Classifier-free guidance (Ho & Salimans 2022), with rescaling and an interval.

use std::ops::Range;

use candle_core::Tensor;

use super::{Condition, Guider};
use crate::error::{Error, Result};

/// Classifier-free guidance.
#[derive(Clone, Debug)]
pub struct ClassifierFreeGuidance {
    /// Guidance scale.
    pub scale: f64,
    /// Share of the guided prediction that gets the standard deviation of the conditional one.
    pub rescale: f64,
    /// Calls of the run that are guided.
    pub calls: Range<usize>,
}

impl Guider for ClassifierFreeGuidance {
    fn conditions(&self, i: usize) -> &'static [Condition] {
        if self.calls.contains(&i) {
            &[Condition::Negative, Condition::Positive]
        } else {
            &[Condition::Positive]
        }
    }

    /// u + scale (c − u), then rescaled; c alone outside the interval.
    fn combine(&self, predictions: &[Tensor]) -> Result<Tensor> {
        let (unconditional, conditional) = match predictions {
            [conditional] => return Ok(conditional.clone()),
            [unconditional, conditional] => (unconditional, conditional),
            other => {
                let count = other.len();
                return Err(Error::internal(format!("{count} predictions to guide by")));
            }
        };
        let guided = (unconditional + ((conditional - unconditional)? * self.scale)?)?;
        if self.rescale == 0.0 {
            return Ok(guided);
        }
        rescaled(&guided, conditional, self.rescale)
    }
}

/// Rescaled guidance (Lin et al. 2023, equations 14 to 16): φ x std(c)/std(x) + (1 − φ) x, with the
/// deviations of each image alone.
fn rescaled(guided: &Tensor, conditional: &Tensor, share: f64) -> Result<Tensor> {
    let factor =
        ((deviation(conditional)? / deviation(guided)?)? * share)?.affine(1.0, 1.0 - share)?;
    let shape: Vec<usize> = guided
        .dims()
        .iter()
        .enumerate()
        .map(|(i, size)| if i == 0 { *size } else { 1 })
        .collect();
    Ok(guided.broadcast_mul(&factor.reshape(shape)?)?)
}

/// Standard deviation of each image `[b, c, h, w]` over all its values, unbiased: `[b]`.
fn deviation(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_from(1)?.var(1)?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn guided(u: &Tensor, c: &Tensor, scale: f64, rescale: f64) -> Result<Tensor> {
        let calls = 0..1;
        let guider = ClassifierFreeGuidance {
            scale,
            rescale,
            calls,
        };
        guider.combine(&[u.clone(), c.clone()])
    }

    #[test]
    fn calls_outside_the_interval_predict_for_the_prompt_alone() {
        let guider = ClassifierFreeGuidance {
            scale: 7.5,
            rescale: 0.0,
            calls: 1..3,
        };
        let both = [Condition::Negative, Condition::Positive];
        assert_eq!(guider.conditions(0), [Condition::Positive]);
        assert_eq!(guider.conditions(1), both);
        assert_eq!(guider.conditions(2), both);
        assert_eq!(guider.conditions(3), [Condition::Positive]);
        let alone = guider.combine(&[row([1.0, 2.0, 3.0, 4.0])]).unwrap();
        assert_eq!(values(&alone), [1.0, 2.0, 3.0, 4.0]);
    }

    fn row(values: [f32; 4]) -> Tensor {
        Tensor::from_slice(&values, (1, 1, 2, 2), &Device::Cpu).unwrap()
    }

    fn values(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn guidance_goes_beyond_the_conditional_output() {
        let x = guided(
            &row([0.0, 1.0, 2.0, 3.0]),
            &row([1.0, 1.0, 1.0, 1.0]),
            2.0,
            0.0,
        )
        .unwrap();
        assert_eq!(values(&x), [2.0, 1.0, 0.0, -1.0]);
    }

    #[test]
    fn full_rescaling_has_the_deviation_of_the_conditional_output_and_half_lies_between() {
        let (u, c) = (row([0.0, 0.0, 0.0, 0.0]), row([1.0, 3.0, -1.0, 1.0]));
        // Guidance by 3 over nothing is 3c; its deviation is three times that of c.
        let full = values(&guided(&u, &c, 3.0, 1.0).unwrap());
        let half = values(&guided(&u, &c, 3.0, 0.5).unwrap());
        for (i, wanted) in [1.0f32, 3.0, -1.0, 1.0].into_iter().enumerate() {
            assert!(
                (full[i] - wanted).abs() < 1e-6 && (half[i] - 2.0 * wanted).abs() < 1e-6,
                "{full:?} {half:?}"
            );
        }
        // Unbiased: the squares of (0, 2, -2, 0) over 3.
        let std = deviation(&c).unwrap().to_vec1::<f32>().unwrap()[0];
        assert!((std - (8.0f32 / 3.0).sqrt()).abs() < 1e-6);
    }
}
