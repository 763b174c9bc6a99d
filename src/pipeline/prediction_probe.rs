//! Detection of the prediction type of a network by a trial call: with pure noise at the noisiest
//! timestep, a prediction of the noise is about the input, and a velocity is about the negated
//! image. (A1111 and stable-diffusion.cpp use a constant input.)

use candle_core::{DType, Tensor};

use crate::device::Rng;
use crate::error::{Error, Result};
use crate::models::denoiser::{Denoiser, DenoiserInputs};
use crate::nn::Backend;
use crate::rng::Noise;
use crate::schedulers::Prediction;

/// Side of the latents of the trial call, in cells.
const SIDE: usize = 16;
/// The value of every channel of the context.
const CONTEXT: f32 = 0.5;
/// The last timestep of training.
const TIMESTEP: f64 = 999.0;
/// Threshold for the share of the noise in the output: about 1 in a prediction of the noise, about
/// √ᾱ = 0.07 in a velocity.
const SHARE: f32 = 0.5;

/// Rejects a guessed prediction type that turns out to be wrong.
pub(super) fn confirm(
    denoiser: &dyn Denoiser,
    guess: Prediction,
    name: &str,
    backend: &Backend,
) -> Result<()> {
    let found = prediction(denoiser, backend)?;
    if found == guess {
        return Ok(());
    }
    let what = format!(
        "`{name}` does not say what it predicts; tried out, it is `{found}` and not `{guess}`"
    );
    Err(Error::field("prediction", what).hint(format!("give `--prediction {found}`")))
}

/// Prediction type of a network without added conditioning, from a trial call with noise.
fn prediction(denoiser: &dyn Denoiser, backend: &Backend) -> Result<Prediction> {
    let shape = [denoiser.channels(), SIDE, SIDE];
    let noise = Noise::new(Rng::Torch, 0, 1).draw(shape.iter().product());
    let x = backend.upload(noise, (1, shape[0], SIDE, SIDE))?;
    let width = denoiser.context_width();
    let context = backend.upload(vec![CONTEXT; 2 * width], (1, 2, width))?;
    let mut conditioned = denoiser.conditioned(&DenoiserInputs::text(&context))?;
    let output = conditioned.predict(0, &x, TIMESTEP, &mut || Ok(Vec::new()))?;
    let share = sum(&(&output * &x)?)? / sum(&x.sqr()?)?;
    Ok(if share < SHARE {
        Prediction::V
    } else {
        Prediction::Epsilon
    })
}

fn sum(x: &Tensor) -> Result<f32> {
    Ok(x.to_dtype(DType::F32)?.sum_all()?.to_scalar()?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::catalog::{Component, ModelFiles};
    use crate::models::unet::Unet;
    use crate::models::unet_config::UnetConfig;
    use crate::nn::Weights;

    #[test]
    fn what_a_network_predicts_shows_when_it_is_tried() {
        for (model, found) in [("sd15", Prediction::Epsilon), ("sd21-v", Prediction::V)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/golden/models")
                .join(model);
            let files = ModelFiles::folder(model, model, folder);
            let backend = Backend::reference();
            let config = UnetConfig::parse(files.json(&Component::Unet.config()).unwrap()).unwrap();
            let unet = Unet::load(
                Weights::open(files.tensors(Component::Unet).unwrap(), &backend).unwrap(),
                &config,
            )
            .unwrap();
            assert_eq!(prediction(&unet, &backend).unwrap(), found, "{model}");
        }
    }
}
