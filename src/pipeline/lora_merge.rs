//! LoRAs merged into weights as they are read, so that neither the mapped file changes nor a second
//! copy is held: W + strength · alpha/rank · Δ, with Δ multiplied out for one tensor at a time.

use std::collections::HashMap;
use std::rc::Rc;

use candle_core::{Device, Tensor};

use crate::adapters::{Adapters, Change, Factor, Form, Scale};
use crate::catalog::Component;
use crate::error::{Error, Result};
use crate::nn::{Patch, Weights};

/// The changes of one component, by the tensor that they change.
struct LoraMerge(HashMap<String, Vec<Step>>);

/// A change and the file of its tensors.
struct Step {
    file: Weights,
    change: Change,
    /// The LoRA's strength.
    weight: f64,
}

/// Weights of `component` with the changes that the LoRAs of a request make to them.
pub(super) fn with_loras(
    weights: Weights,
    adapters: &Adapters,
    component: Component,
) -> Result<Weights> {
    let mut steps: HashMap<String, Vec<Step>> = HashMap::new();
    for lora in adapters.of(component) {
        let file = Weights::open(lora.file.tensors.clone(), weights.backend())?;
        for change in lora.changes(component) {
            let step = Step {
                file: file.clone(),
                change: change.clone(),
                weight: lora.weight,
            };
            steps.entry(change.tensor.clone()).or_default().push(step);
        }
    }
    if steps.is_empty() {
        return Ok(weights);
    }
    Ok(weights.patched(Rc::new(LoraMerge(steps))))
}

impl Patch for LoraMerge {
    fn touches(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn apply(&self, name: &str, shape: &[usize], values: &mut [f32]) -> Result<()> {
        for step in self.0.get(name).into_iter().flatten() {
            let delta = step.delta()?.flatten_all()?.to_vec1::<f32>()?;
            if delta.len() != values.len() {
                // Invariant: changes were fitted to this model's shapes.
                return Err(Error::internal(format!(
                    "a change of {} values for {shape:?}",
                    delta.len()
                )));
            }
            let scale = step.scale()? as f32;
            values
                .iter_mut()
                .zip(delta)
                .for_each(|(value, delta)| *value += scale * delta);
        }
        Ok(())
    }
}

impl Step {
    fn scale(&self) -> Result<f64> {
        let trained = match &self.change.scale {
            Scale::Number(number) => *number,
            Scale::Stored { alpha, rank } => self.file.number(alpha)? / *rank as f64,
        };
        Ok(self.weight * trained)
    }

    /// Δ, `[rows, columns]`.
    fn delta(&self) -> Result<Tensor> {
        match &self.change.form {
            Form::Pair {
                up,
                down,
                core: None,
            } => Ok(self.matrix(up)?.matmul(&self.matrix(down)?)?),
            Form::Pair {
                up,
                down,
                core: Some(core),
            } => tucker(
                &self.matrix(up)?.t()?.contiguous()?,
                &self.matrix(down)?,
                &self.tensor(core)?,
            ),
            Form::Hadamard([a, b]) => Ok((self.factor(a)? * self.factor(b)?)?),
            Form::Kronecker([a, b]) => kronecker(&self.factor(a)?, &self.factor(b)?),
            Form::Whole(name) => self.matrix(name),
        }
    }

    fn factor(&self, factor: &Factor) -> Result<Tensor> {
        match factor {
            Factor::Whole(name) => self.matrix(name),
            Factor::Product { a, b } => Ok(self.matrix(a)?.matmul(&self.matrix(b)?)?),
            Factor::Tucker { a, b, core } => {
                tucker(&self.matrix(a)?, &self.matrix(b)?, &self.tensor(core)?)
            }
        }
    }

    /// A tensor of the file in single precision, in its own shape.
    fn tensor(&self, name: &str) -> Result<Tensor> {
        let shape = self.file.shape(name).unwrap_or_default();
        Ok(Tensor::from_vec(
            self.file.values(name, shape)?.floats(),
            shape,
            &Device::Cpu,
        )?)
    }

    /// A tensor as a matrix: the first axis by all others.
    fn matrix(&self, name: &str) -> Result<Tensor> {
        let tensor = self.tensor(name)?;
        Ok(if tensor.rank() > 1 {
            tensor.flatten_from(1)?
        } else {
            tensor.unsqueeze(1)?
        })
    }
}

/// aᵀ · core · b at each place of a kernel: a `[p, rows]`, b `[q, columns]`, core `[p, q, k, k]`.
fn tucker(a: &Tensor, b: &Tensor, core: &Tensor) -> Result<Tensor> {
    let ((p, rows), (q, columns)) = (a.dims2()?, b.dims2()?);
    let places = core.elem_count() / (p * q);
    let left = a
        .t()?
        .matmul(&core.reshape((p, q * places))?)?
        .reshape((rows, q, places))?;
    let left = left.transpose(1, 2)?.reshape((rows * places, q))?;
    let both = left.matmul(b)?.reshape((rows, places, columns))?;
    Ok(both.transpose(1, 2)?.reshape((rows, columns * places))?)
}

/// a ⊗ b.
fn kronecker(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ((m, n), (p, q)) = (a.dims2()?, b.dims2()?);
    let blocks = a
        .reshape((m, 1, n, 1))?
        .broadcast_mul(&b.reshape((1, p, 1, q))?)?;
    Ok(blocks.reshape((m * p, n * q))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], from: f32) -> Tensor {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|i| from + (i * 7 % 11) as f32 / 4.0)
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// Numbers by their places, row by row.
    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_core_is_multiplied_from_both_sides_at_each_place() {
        let (p, q, rows, columns, k) = (2, 3, 4, 5, 9);
        let (a, b, core) = (
            tensor(&[p, rows], -1.0),
            tensor(&[q, columns], 0.5),
            tensor(&[p, q, 3, 3], -0.25),
        );
        let (x, y, z) = (numbers(&a), numbers(&b), numbers(&core));
        let mut expected = Vec::new();
        for (row, column, place) in
            (0..rows).flat_map(|r| (0..columns).flat_map(move |c| (0..k).map(move |i| (r, c, i))))
        {
            let terms = (0..p).flat_map(|i| (0..q).map(move |j| (i, j)));
            let term =
                |(i, j)| x[i * rows + row] * z[(i * q + j) * k + place] * y[j * columns + column];
            expected.push(terms.map(term).sum::<f32>());
        }
        let found = numbers(&tucker(&a, &b, &core).unwrap());
        assert!(
            found
                .iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() < 1e-4),
            "{found:?}\n{expected:?}"
        );
    }

    #[test]
    fn each_number_of_the_left_factor_takes_the_whole_right_one() {
        let (a, b) = (
            Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu),
            Tensor::new(&[[1f32, 10.0]], &Device::Cpu),
        );
        let both = kronecker(&a.unwrap(), &b.unwrap()).unwrap();
        assert_eq!(
            both.to_vec2::<f32>().unwrap(),
            [[1.0, 10.0, 2.0, 20.0], [3.0, 30.0, 4.0, 40.0]]
        );
    }
}
