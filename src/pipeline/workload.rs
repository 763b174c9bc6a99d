//! Arithmetic operations of a request, from the shapes of the tensors of its networks. Nothing is
//! loaded.

use super::memory_estimate::Sizes;
use crate::catalog::Component;
use crate::error::Result;
use crate::guidance::is_guided;
use crate::models::unet_config::UnetConfig;
use crate::tensor_file::Tensors;

/// Arithmetic operations in products, convolutions and attention.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Workload {
    /// Operations of the text encoders, for prompt and negative prompt.
    pub(crate) encode: f64,
    /// Operations of a call of the denoising network for one image, ControlNets included.
    pub(crate) call: f64,
    /// Operations of decoding an image.
    pub(crate) decode: f64,
}

/// Tokens of a prompt's chunk.
const TOKENS: f64 = 77.0;

/// Positions that a layer is applied to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extent {
    /// This number of latent cells or pixels.
    Cells(f64),
    /// The tokens of the prompt.
    Prompt,
    /// One vector.
    Once,
}

impl Workload {
    /// Estimates the work of a request.
    pub(crate) fn of(sizes: &Sizes<'_>) -> Result<Self> {
        let Sizes {
            files,
            repo,
            networks,
            request,
            ..
        } = sizes;
        let factor = f64::from(repo.vae_factor);
        let cells = f64::from(request.width) * f64::from(request.height) / (factor * factor);
        let config = UnetConfig::parse(files.json(&Component::Unet.config())?)?;
        let guided = is_guided(request.cfg_scale, config.guidance_width.is_some());
        let passes = if guided { 2.0 } else { 1.0 };
        let mut work = Self::default();
        for part in [Component::TextEncoder, Component::TextEncoder2] {
            if files.has(&part.config()) {
                work.encode += 2.0 * total(&*files.tensors(part)?, encoder);
            }
        }
        let unet = files.tensors(Component::Unet)?;
        let levels = levels(&unet);
        work.call += passes * total(&unet, |name| denoiser(name, levels, cells));
        for control in &networks.controls {
            work.call += passes * total(&*control.tensors()?, |name| denoiser(name, levels, cells));
        }
        let vae = match &networks.autoencoder {
            Some(other) => other.tensors()?,
            None => files.tensors(Component::Vae)?,
        };
        work.decode = total(&vae, |name| decoder(name, cells, factor));
        Ok(work)
    }
}

/// Operations of all layers whose extent is known.
fn total(tensors: &Tensors, extent: impl Fn(&str) -> Option<Extent>) -> f64 {
    let layers = tensors
        .places
        .iter()
        .filter(|(name, _)| name.ends_with(".weight"));
    layers
        .filter_map(|(name, place)| Some(layer(name, &place.entry.shape, extent(name)?)))
        .sum()
}

/// Operations of one layer; for the projection of queries, with the attention that follows.
fn layer(name: &str, shape: &[usize], extent: Extent) -> f64 {
    let [width, _, ..] = *shape else { return 0.0 };
    let numbers: usize = shape.iter().product();
    let cells = match extent {
        Extent::Cells(cells) => cells,
        Extent::Prompt => TOKENS,
        Extent::Once => 1.0,
    };
    let seen = match name {
        _ if name.contains("attn2.to_q") => TOKENS,
        _ if name.contains(".to_q.") || name.contains(".query.") => cells,
        _ => 0.0,
    };
    2.0 * cells * numbers as f64 + 4.0 * cells * seen * width as f64
}

/// Resolutions of a denoising network.
fn levels(tensors: &Tensors) -> usize {
    let levels = tensors
        .places
        .keys()
        .filter_map(|name| number(name.strip_prefix("down_blocks.")?));
    levels.max().map_or(1, |last| last + 1)
}

fn number(text: &str) -> Option<usize> {
    text.split('.').next()?.parse().ok()
}

#[allow(clippy::unnecessary_wraps, reason = "one of several forms")]
fn denoiser(name: &str, levels: usize, cells: f64) -> Option<Extent> {
    let at = |level: usize| Extent::Cells(cells / 4f64.powi(level as i32));
    if name.contains("time_emb") {
        return Some(Extent::Once);
    }
    if name.contains("attn2.to_k") || name.contains("attn2.to_v") {
        return Some(Extent::Prompt);
    }
    let last = levels.saturating_sub(1);
    let down = name.strip_prefix("down_blocks.").and_then(number);
    let up = name.strip_prefix("up_blocks.").and_then(number);
    Some(match (down, up) {
        (Some(i), _) => at(if name.contains("downsamplers") {
            i + 1
        } else {
            i
        }),
        (_, Some(j)) => at(last.saturating_sub(if name.contains("upsamplers") {
            j + 1
        } else {
            j
        })),
        _ if name.starts_with("mid_block") => at(last),
        _ if name.starts_with("conv_") => at(0),
        _ => Extent::Once,
    })
}

fn decoder(name: &str, cells: f64, factor: f64) -> Option<Extent> {
    let name = name
        .strip_prefix("decoder.")
        .or(name.strip_prefix("post_quant_").map(|_| "conv_in"))?;
    let at =
        |doublings: usize| Extent::Cells(cells * 4f64.powi(doublings as i32).min(factor * factor));
    let up = name.strip_prefix("up_blocks.").and_then(number);
    Some(match up {
        Some(j) => at(if name.contains("upsamplers") {
            j + 1
        } else {
            j
        }),
        None if name.starts_with("conv_in") || name.starts_with("mid_block") => at(0),
        None if name.starts_with("conv_out") => Extent::Cells(cells * factor * factor),
        // The tiny autoencoder's layers have numbers; most of the work is at half the size.
        None => Extent::Cells(cells * factor * factor / 4.0),
    })
}

#[allow(clippy::unnecessary_wraps, reason = "one of several forms")]
fn encoder(name: &str) -> Option<Extent> {
    Some(if name.contains("embedding") {
        Extent::Once
    } else {
        Extent::Prompt
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_count_where_they_are_applied() {
        let cells = |extent: Option<Extent>| match extent {
            Some(Extent::Cells(cells)) => cells,
            _ => -1.0,
        };
        let unet = |name: &str| cells(denoiser(name, 4, 4096.0));
        assert_eq!(unet("conv_in.weight"), 4096.0);
        assert_eq!(unet("down_blocks.1.resnets.0.conv1.weight"), 1024.0);
        assert_eq!(unet("down_blocks.1.downsamplers.0.conv.weight"), 256.0);
        assert_eq!(unet("mid_block.resnets.0.conv1.weight"), 64.0);
        assert_eq!(unet("up_blocks.0.upsamplers.0.conv.weight"), 256.0);
        assert_eq!(unet("up_blocks.3.attentions.2.proj_in.weight"), 4096.0);
        let vae = |name: &str| cells(decoder(name, 4096.0, 8.0));
        assert_eq!(
            vae("decoder.up_blocks.0.upsamplers.0.conv.weight"),
            4.0 * 4096.0
        );
        assert_eq!(
            vae("decoder.up_blocks.3.resnets.0.conv1.weight"),
            64.0 * 4096.0
        );
        assert_eq!(vae("decoder.conv_out.weight"), 64.0 * 4096.0);
        assert_eq!(decoder("encoder.conv_in.weight", 4096.0, 8.0), None);
    }

    #[test]
    fn attention_is_with_all_cells_or_with_the_prompt() {
        let own = layer("a.attn1.to_q.weight", &[320, 320], Extent::Cells(100.0));
        assert_eq!(own, 2.0 * 100.0 * 102_400.0 + 4.0 * 100.0 * 100.0 * 320.0);
        let cross = layer("a.attn2.to_q.weight", &[320, 320], Extent::Cells(100.0));
        assert_eq!(cross, 2.0 * 100.0 * 102_400.0 + 4.0 * 100.0 * 77.0 * 320.0);
        assert_eq!(layer("a.norm.weight", &[320], Extent::Cells(100.0)), 0.0);
    }
}
