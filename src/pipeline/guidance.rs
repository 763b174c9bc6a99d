//! The arithmetic of classifier-free guidance on the network's two outputs.

use candle_core::Tensor;

use crate::error::Result;

/// Guided output (Ho & Salimans 2022): u + scale (c − u), then rescaled by the share `rescale`.
pub(super) fn guided(
    unconditional: &Tensor,
    conditional: &Tensor,
    scale: f64,
    rescale: f64,
) -> Result<Tensor> {
    let guided = (unconditional + ((conditional - unconditional)? * scale)?)?;
    if rescale == 0.0 {
        return Ok(guided);
    }
    rescaled(&guided, conditional, rescale)
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
