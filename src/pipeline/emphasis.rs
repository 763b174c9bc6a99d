//! Weights of tokens on a text encoder's states, in A1111's arithmetic ("Original").

use candle_core::Tensor;

use crate::error::Result;

/// Each token's state times its weight, then all of them scaled so that their mean is what it was
/// before.
///
/// `states` is one chunk, `[1, n, c]`, with a weight for each of its n tokens; weights of 1 change
/// nothing at all.
pub(super) fn emphasised(states: Tensor, weights: &[f64]) -> Result<Tensor> {
    if weights.iter().all(|weight| *weight == 1.0) {
        return Ok(states);
    }
    let factors: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
    let factors = Tensor::from_vec(factors, (1, weights.len(), 1), states.device())?;
    let weighted = states.broadcast_mul(&factors)?;
    let scale = mean(&states)? / mean(&weighted)?;
    // States whose mean is zero have none to restore.
    if scale.is_finite() {
        Ok((weighted * scale)?)
    } else {
        Ok(weighted)
    }
}

fn mean(states: &Tensor) -> Result<f64> {
    let values = states.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_mean_is_restored_and_the_ratio_of_tokens_kept() {
        let states = Tensor::new(&[[[1f32, 2.0], [3.0, 4.0]]], &Device::Cpu).unwrap();
        let weighted = emphasised(states.clone(), &[1.0, 2.0]).unwrap();
        // Mean 2.5; weighted [1, 2, 6, 8] with mean 4.25.
        let expected = [1.0f32, 2.0, 6.0, 8.0].map(|value| value * 2.5 / 4.25);
        let values = weighted.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(
            values
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6),
            "{values:?}"
        );
        assert!((mean(&weighted).unwrap() - mean(&states).unwrap()).abs() < 1e-6);
    }

    #[test]
    fn a_mean_of_zero_is_left_alone() {
        let states = Tensor::new(&[[[1f32, -1.0], [3.0, -3.0]]], &Device::Cpu).unwrap();
        let values = emphasised(states, &[1.0, 2.0])
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>();
        assert_eq!(values.unwrap(), [1.0, -1.0, 6.0, -6.0]);
    }
}
