//! Parts of a model in a single file: their prefixes, their naming styles, and the translation of
//! tensor names to those of diffusers.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{Names, UnetLayout, VaeLayout, control as control_names, open_clip};
use crate::catalog::Component;
use crate::tensor_file::{Directory, Entry, TensorSpan, attach_scales};

/// Naming style of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// CompVis' and Stability's, of UNet and autoencoder.
    Original,
    /// transformers'.
    Clip,
    /// OpenCLIP's.
    OpenClip,
    /// diffusers' own, of an autoencoder.
    Diffusers,
}

/// A possible location of a part: prefix, naming style, and a tensor that confirms it.
type Location = (&'static str, Style, &'static str);

const CONV_IN: &str = "input_blocks.0.0.weight";
const VAE: &str = "decoder.mid.block_1.norm1.weight";
const CLIP: &str = "text_model.final_layer_norm.weight";
const OPEN_CLIP: &str = "ln_final.weight";
const DIFFUSERS_VAE: &str = "decoder.mid_block.resnets.0.norm1.weight";
const BARE_CLIP: &str = "final_layer_norm.weight";

/// Possible locations of parts: in checkpoints as they are published, in those of ComfyUI and of
/// stable-diffusion.cpp, or alone in their file.
const LOCATIONS: &[(Component, &[Location])] = &[
    (
        Component::Unet,
        &[
            ("model.diffusion_model.", Style::Original, CONV_IN),
            ("", Style::Original, CONV_IN),
        ],
    ),
    (
        Component::Vae,
        &[
            ("first_stage_model.", Style::Original, VAE),
            ("vae.", Style::Original, VAE),
            ("", Style::Original, VAE),
            ("", Style::Diffusers, DIFFUSERS_VAE),
        ],
    ),
    (
        Component::TextEncoder,
        &[
            ("cond_stage_model.transformer.", Style::Clip, CLIP),
            ("cond_stage_model.transformer.", Style::Clip, BARE_CLIP),
            ("conditioner.embedders.0.transformer.", Style::Clip, CLIP),
            ("text_encoders.clip_l.transformer.", Style::Clip, CLIP),
            ("cond_stage_model.model.", Style::OpenClip, OPEN_CLIP),
        ],
    ),
    (
        Component::TextEncoder2,
        &[
            ("conditioner.embedders.1.model.", Style::OpenClip, OPEN_CLIP),
            ("conditioner.embedders.0.model.", Style::OpenClip, OPEN_CLIP),
            ("cond_stage_model.1.model.", Style::OpenClip, OPEN_CLIP),
            ("cond_stage_model.1.transformer.", Style::Clip, CLIP),
            ("text_encoders.clip_g.transformer.", Style::Clip, CLIP),
        ],
    ),
];

/// A tensor of diffusers as a part of one of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Whole,
    /// One of three matrices of equal size, one below the other.
    Third(usize),
    Transposed,
}

/// The parts of a file, tensors by their names in diffusers.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) tensors: BTreeMap<Component, BTreeMap<String, TensorSpan>>,
    /// Names of data of training programs in the file.
    pub(super) unused: Vec<String>,
    /// The text encoder has OpenCLIP's names or is of its make.
    pub(super) open_clip: bool,
}

/// The parts that `directory` has.
pub(super) fn find_parts(directory: &Directory) -> Parts {
    let has = |name: &str| directory.tensors.contains_key(name);
    let mut parts = Parts::default();
    let mut taken = BTreeSet::new();
    for (component, locations) in LOCATIONS {
        let is_there = |(prefix, _, tensor): &&Location| has(&format!("{prefix}{tensor}"));
        let Some((prefix, style, _)) = locations.iter().find(is_there) else {
            continue;
        };
        let part = Part::of(directory, *component, prefix, *style);
        if *component == Component::TextEncoder {
            // Those of transformers' names that have one matrix for query, key and value were
            // OpenCLIP's once.
            parts.open_clip = *style == Style::OpenClip
                || part
                    .names
                    .iter()
                    .any(|name| name.ends_with("self_attn.in_proj.weight"));
        }
        taken.extend(part.names.iter().map(|name| format!("{prefix}{name}")));
        parts.tensors.insert(*component, part.places(directory));
    }
    let unused = directory
        .tensors
        .keys()
        .filter(|name| !taken.contains(*name) && !published(name));
    parts.unused = unused.chain(&directory.other_data).cloned().collect();
    parts
}

/// Returns true for tensors outside the parts that published checkpoints have: the noise schedule,
/// which their configuration gives as well, counters, and markers.
fn published(name: &str) -> bool {
    let schedule = ["alphas_cumprod", "posterior_", "log_one_minus_"]
        .iter()
        .any(|part| name.contains(part));
    let last = name.rsplit('.').next().unwrap_or(name);
    schedule || PUBLISHED.contains(&name) || PUBLISHED.contains(&last)
}

const PUBLISHED: &[&str] = &[
    "betas",
    "denoiser.sigmas",
    "model_ema.decay",
    "model_ema.num_updates",
    "logit_scale",
    "scaled_fp8",
    "v_pred",
    "ztsnr",
];
/// Prefixes of a VAE's training loss and of its weight averages.
const TRAINING: [&str; 2] = ["loss.", "model_ema."];

/// The tensors of the autoencoder in a file, if it has one.
pub(in crate::catalog) fn autoencoder_places(
    directory: &Directory,
) -> Option<BTreeMap<String, TensorSpan>> {
    find_parts(directory).tensors.remove(&Component::Vae)
}

/// The tensors of a control network by their names in diffusers, whichever names the file has.
pub(in crate::catalog) fn control_places(
    places: BTreeMap<String, TensorSpan>,
) -> BTreeMap<String, TensorSpan> {
    let has = |name: &str| places.contains_key(&format!("{CONTROL}{name}"));
    let names = control_names(&has);
    let renamed = |name: &str| names.diffusers(name.strip_prefix(CONTROL)?);
    let own = |name: String| renamed(&name).unwrap_or(name);
    places
        .clone()
        .into_iter()
        .map(|(name, place)| (own(name), place))
        .collect()
}

/// Prefix of a ControlNet's tensor names in original files.
const CONTROL: &str = "control_model.";

/// A part's names below its prefix.
struct Part<'a> {
    component: Component,
    prefix: &'static str,
    style: Style,
    names: Vec<&'a str>,
}

impl<'a> Part<'a> {
    fn of(
        directory: &'a Directory,
        component: Component,
        prefix: &'static str,
        style: Style,
    ) -> Self {
        let all = directory.tensors.keys();
        let mut names: Vec<&str> = all.filter_map(|name| name.strip_prefix(prefix)).collect();
        match component {
            Component::Vae if prefix.is_empty() => names.retain(|name| {
                ["encoder.", "decoder.", "quant_conv.", "post_quant_conv."]
                    .iter()
                    .any(|p| name.starts_with(p))
            }),
            Component::Vae => {
                names.retain(|name| !TRAINING.iter().any(|start| name.starts_with(start)));
            }
            Component::Unet if prefix.is_empty() => names.retain(|name| !published(name)),
            Component::Unet | Component::TextEncoder | Component::TextEncoder2 => {}
        }
        Self {
            component,
            prefix,
            style,
            names,
        }
    }

    fn places(&self, directory: &Directory) -> BTreeMap<String, TensorSpan> {
        let names = self.translation();
        let mut places = BTreeMap::new();
        for &name in &self.names {
            let Some(entry) = directory.tensors.get(&format!("{}{name}", self.prefix)) else {
                continue;
            };
            for (diffusers, view) in self.translated(name, &names) {
                // A view that the tensor does not allow stays whole; the check of its shape fails
                // later.
                let entry = view_of(entry, view).unwrap_or_else(|| entry.clone());
                let optional = self.is_optional(&diffusers);
                places.insert(
                    diffusers,
                    TensorSpan {
                        optional,
                        ..TensorSpan::new(0, entry)
                    },
                );
            }
        }
        attach_scales(&mut places);
        places
    }

    fn has(&self, name: &str) -> bool {
        self.names.binary_search(&name).is_ok()
    }

    fn translation(&self) -> Names {
        let has = |name: &str| self.has(name);
        match (self.style, self.component) {
            (Style::Original, Component::Unet) => UnetLayout::of_original(&has).names(),
            (Style::Original, _) => VaeLayout::of_original(&has).names(),
            (Style::OpenClip, _) => open_clip(self.layers("transformer.resblocks", "ln_1.weight")),
            (Style::Clip | Style::Diffusers, _) => Names::default(),
        }
    }

    fn layers(&self, list: &str, sign: &str) -> usize {
        (0..)
            .take_while(|i| self.has(&format!("{list}.{i}.{sign}")))
            .count()
    }

    /// Names and views of a tensor in diffusers; a tensor without a name there keeps its own.
    fn translated(&self, name: &str, names: &Names) -> Vec<(String, View)> {
        if matches!(self.style, Style::Clip | Style::OpenClip) {
            for (end, tensor) in [
                (".in_proj.weight", "weight"),
                (".in_proj.bias", "bias"),
                (".in_proj_weight", "weight"),
                (".in_proj_bias", "bias"),
            ] {
                if let Some(module) = name.strip_suffix(end) {
                    return self.thirds(module, tensor);
                }
            }
            match name {
                "positional_embedding" => {
                    return vec![(
                        "text_model.embeddings.position_embedding.weight".to_owned(),
                        View::Whole,
                    )];
                }
                "text_projection" | "text_model.text_projection" => {
                    return vec![("text_projection.weight".to_owned(), View::Transposed)];
                }
                _ => {}
            }
        }
        vec![(
            names.diffusers(name).unwrap_or_else(|| name.to_owned()),
            View::Whole,
        )]
    }

    /// Query, key and value out of one tensor.
    fn thirds(&self, module: &str, tensor: &str) -> Vec<(String, View)> {
        let layer = module
            .strip_prefix("transformer.resblocks.")
            .and_then(|rest| rest.split_once('.'));
        let module = match layer {
            Some((layer, _)) => format!("text_model.encoder.layers.{layer}.self_attn"),
            None => module.to_owned(),
        };
        let third = |(i, name)| (format!("{module}.{name}.{tensor}"), View::Third(i));
        ["q_proj", "k_proj", "v_proj"]
            .into_iter()
            .enumerate()
            .map(third)
            .collect()
    }

    /// Returns true for tensors that single files have and no network needs: the vision tower, SD
    /// 2's projection and its last layer, whose input is what the UNet was trained on.
    fn is_optional(&self, diffusers: &str) -> bool {
        if !matches!(
            self.component,
            Component::TextEncoder | Component::TextEncoder2
        ) {
            return false;
        }
        let is_vision = ["vision_model.", "visual", "logit_scale"]
            .iter()
            .any(|start| diffusers.starts_with(start));
        let last = format!("text_model.encoder.layers.{}.", self.kept_layers());
        is_vision
            || (self.component == Component::TextEncoder
                && (diffusers == "text_projection.weight" || diffusers.starts_with(&last)))
    }

    /// Layers of the text encoder that count: of OpenCLIP's in SD 2 all but the last, which
    /// diffusers' own converter has left out of the files of 23.
    fn kept_layers(&self) -> usize {
        let resblocks = self.layers("transformer.resblocks", "ln_1.weight");
        let fused = self.layers("text_model.encoder.layers", "self_attn.in_proj.weight");
        match (resblocks.max(fused), self.component) {
            (0, _) => self.layers("text_model.encoder.layers", "layer_norm1.weight"),
            (layers, Component::TextEncoder) if layers != 23 => layers - 1,
            (layers, _) => layers,
        }
    }
}

fn view_of(entry: &Entry, view: View) -> Option<Entry> {
    match view {
        View::Whole => Some(entry.clone()),
        View::Transposed => entry.transposed(),
        View::Third(i) => {
            let rows = entry.shape.first()? / 3;
            entry.rows(i * rows..(i + 1) * rows)
        }
    }
}
