//! Names of modules in diffusers and in the original checkpoints (CompVis, Stability), as pairs
//! that serve in both directions.

use std::collections::BTreeMap;

/// Lookup that returns true if a file has a tensor of this name.
pub(super) type Has<'a> = &'a dyn Fn(&str) -> bool;

/// Pairs of module names, and the way from either to the other.
#[derive(Default)]
pub(super) struct Names {
    to_original: BTreeMap<String, String>,
    to_diffusers: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn add(&mut self, diffusers: impl Into<String>, original: impl Into<String>) {
        let (diffusers, original) = (diffusers.into(), original.into());
        self.to_original.insert(diffusers.clone(), original.clone());
        // The first of several names that diffusers had for the same thing is today's.
        self.to_diffusers.entry(original).or_insert(diffusers);
    }

    /// A module with parts of its own: `names` are pairs below `diffusers` and `original`.
    pub(super) fn add_parts(&mut self, diffusers: &str, original: &str, names: &[(&str, &str)]) {
        for (ours, theirs) in names {
            self.add(
                format!("{diffusers}.{ours}"),
                format!("{original}.{theirs}"),
            );
        }
    }

    /// A tensor's name in diffusers.
    pub(super) fn diffusers(&self, original: &str) -> Option<String> {
        renamed(&self.to_diffusers, original)
    }

    /// A tensor's name in the original.
    pub(super) fn original(&self, diffusers: &str) -> Option<String> {
        renamed(&self.to_original, diffusers)
    }
}

/// The name with its longest known module exchanged.
fn renamed(names: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let mut cuts = name.rmatch_indices('.').map(|(at, _)| at);
    cuts.find_map(|at| {
        names
            .get(&name[..at])
            .map(|module| format!("{module}{}", &name[at..]))
    })
}

const RESNET: [(&str, &str); 6] = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
];

/// Block structure of a UNet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct UnetLayout {
    /// Residual blocks of each level on the way down, from the highest resolution.
    pub(super) layers: Vec<usize>,
    /// True for each level with transformers on the way up, from the lowest resolution.
    pub(super) crossed: Vec<bool>,
}

impl UnetLayout {
    /// Reads the structure from original tensor names.
    pub(super) fn of_original(has: Has<'_>) -> Self {
        let mut layers = vec![0usize];
        let mut n = 1;
        loop {
            let block = format!("input_blocks.{n}.0");
            match layers.last_mut() {
                Some(level) if has(&format!("{block}.in_layers.0.weight")) => *level += 1,
                _ if has(&format!("{block}.op.weight")) => layers.push(0),
                _ => break,
            }
            n += 1;
        }
        let mut k = 0;
        let crossed = layers.iter().rev().map(|count| {
            let crosses = has(&format!("output_blocks.{k}.1.proj_in.weight"));
            k += count + 1;
            crosses
        });
        let crossed = crossed.collect();
        Self { layers, crossed }
    }

    /// Reads the structure from tensor names of diffusers.
    pub(super) fn of_diffusers(has: Has<'_>) -> Self {
        let levels = (0..).take_while(|i| has(&format!("down_blocks.{i}.resnets.0.norm1.weight")));
        let levels: Vec<usize> = levels.collect();
        let layers = |i: &usize| {
            (0..)
                .take_while(|j| has(&format!("down_blocks.{i}.resnets.{j}.norm1.weight")))
                .count()
        };
        let crosses = |i: &usize| has(&format!("up_blocks.{i}.attentions.0.proj_in.weight"));
        Self {
            layers: levels.iter().map(layers).collect(),
            crossed: levels.iter().map(crosses).collect(),
        }
    }

    pub(super) fn names(&self) -> Names {
        let mut names = Names::default();
        for (diffusers, original) in [
            ("conv_in", "input_blocks.0.0"),
            ("time_embedding.linear_1", "time_embed.0"),
            ("time_embedding.linear_2", "time_embed.2"),
            ("time_embedding.cond_proj", "time_embed.cond_proj"),
            ("add_embedding.linear_1", "label_emb.0.0"),
            ("add_embedding.linear_2", "label_emb.0.2"),
            ("mid_block.attentions.0", "middle_block.1"),
            ("conv_norm_out", "out.0"),
            ("conv_out", "out.2"),
        ] {
            names.add(diffusers, original);
        }
        names.add_parts("mid_block.resnets.0", "middle_block.0", &RESNET);
        names.add_parts("mid_block.resnets.1", "middle_block.2", &RESNET);
        self.down(&mut names);
        self.up(&mut names);
        names
    }

    fn down(&self, names: &mut Names) {
        let mut k = 1;
        for (i, &layers) in self.layers.iter().enumerate() {
            for j in 0..layers {
                let block = format!("down_blocks.{i}");
                names.add_parts(
                    &format!("{block}.resnets.{j}"),
                    &format!("input_blocks.{k}.0"),
                    &RESNET,
                );
                names.add(
                    format!("{block}.attentions.{j}"),
                    format!("input_blocks.{k}.1"),
                );
                k += 1;
            }
            if i + 1 < self.layers.len() {
                names.add(
                    format!("down_blocks.{i}.downsamplers.0.conv"),
                    format!("input_blocks.{k}.0.op"),
                );
                k += 1;
            }
        }
    }

    fn up(&self, names: &mut Names) {
        let mut k = 0;
        for (i, (&layers, &crossed)) in self.layers.iter().rev().zip(&self.crossed).enumerate() {
            let block = format!("up_blocks.{i}");
            for j in 0..=layers {
                names.add_parts(
                    &format!("{block}.resnets.{j}"),
                    &format!("output_blocks.{k}.0"),
                    &RESNET,
                );
                if crossed {
                    names.add(
                        format!("{block}.attentions.{j}"),
                        format!("output_blocks.{k}.1"),
                    );
                }
                k += 1;
            }
            if i + 1 < self.layers.len() {
                let place = if crossed { 2 } else { 1 };
                let original = format!("output_blocks.{}.{place}.conv", k - 1);
                names.add(format!("{block}.upsamplers.0.conv"), original);
            }
        }
    }
}

/// The modules of a control network: the way down of a UNet, and what is its own.
pub(super) fn control(has: Has<'_>) -> Names {
    let mut names = UnetLayout::of_original(has).names();
    names.add("controlnet_mid_block", "middle_block_out.0");
    let outs = (0..).take_while(|i| has(&format!("zero_convs.{i}.0.weight")));
    outs.for_each(|i| {
        names.add(
            format!("controlnet_down_blocks.{i}"),
            format!("zero_convs.{i}.0"),
        );
    });
    // Every second layer is an activation.
    let hints = (0..)
        .take_while(|i| has(&format!("input_hint_block.{}.weight", 2 * i)))
        .count();
    for i in 0..hints {
        let module = match i {
            0 => "conv_in".to_owned(),
            _ if i + 1 == hints => "conv_out".to_owned(),
            _ => format!("blocks.{}", i - 1),
        };
        names.add(
            format!("controlnet_cond_embedding.{module}"),
            format!("input_hint_block.{}", 2 * i),
        );
    }
    names
}

/// The autoencoder's attention, with the names that diffusers had before.
const VAE_ATTENTION: [(&str, &str); 9] = [
    ("group_norm", "norm"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "proj_out"),
    ("query", "q"),
    ("key", "k"),
    ("value", "v"),
    ("proj_attn", "proj_out"),
];
/// Block structure of a VAE.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct VaeLayout {
    pub(super) levels: usize,
    /// Residual blocks of a level on the way down; one more on the way up.
    pub(super) layers: usize,
}

impl VaeLayout {
    pub(super) fn of_original(has: Has<'_>) -> Self {
        let up = |i: usize, j: usize| has(&format!("decoder.up.{i}.block.{j}.norm1.weight"));
        Self::counted(&up)
    }

    pub(super) fn of_diffusers(has: Has<'_>) -> Self {
        let up =
            |i: usize, j: usize| has(&format!("decoder.up_blocks.{i}.resnets.{j}.norm1.weight"));
        Self::counted(&up)
    }

    fn counted(up: &dyn Fn(usize, usize) -> bool) -> Self {
        let levels = (0..).take_while(|i| up(*i, 0)).count();
        Self {
            levels,
            layers: (0..).take_while(|j| up(0, *j)).count().saturating_sub(1),
        }
    }

    pub(super) fn names(self) -> Names {
        let mut names = Names::default();
        for module in ["quant_conv", "post_quant_conv"] {
            names.add(module, module);
        }
        for (side, way, layers) in [
            ("encoder", "down", self.layers),
            ("decoder", "up", self.layers + 1),
        ] {
            for (diffusers, original) in [
                ("conv_in", "conv_in"),
                ("conv_out", "conv_out"),
                ("conv_norm_out", "norm_out"),
            ] {
                names.add(format!("{side}.{diffusers}"), format!("{side}.{original}"));
            }
            let (ours, theirs) = (format!("{side}.mid_block"), format!("{side}.mid"));
            vae_resnet(
                &mut names,
                &format!("{ours}.resnets.0"),
                &format!("{theirs}.block_1"),
            );
            vae_resnet(
                &mut names,
                &format!("{ours}.resnets.1"),
                &format!("{theirs}.block_2"),
            );
            names.add_parts(
                &format!("{ours}.attentions.0"),
                &format!("{theirs}.attn_1"),
                &VAE_ATTENTION,
            );
            for i in 0..self.levels {
                // The original counts both ways from the highest resolution.
                let level = if side == "encoder" {
                    i
                } else {
                    self.levels - 1 - i
                };
                let (ours, theirs) = (
                    format!("{side}.{way}_blocks.{i}"),
                    format!("{side}.{way}.{level}"),
                );
                for j in 0..layers {
                    vae_resnet(
                        &mut names,
                        &format!("{ours}.resnets.{j}"),
                        &format!("{theirs}.block.{j}"),
                    );
                }
                names.add(
                    format!("{ours}.{way}samplers.0.conv"),
                    format!("{theirs}.{way}sample.conv"),
                );
            }
        }
        names
    }
}

fn vae_resnet(names: &mut Names, diffusers: &str, original: &str) {
    names.add(diffusers, original);
    names.add(
        format!("{diffusers}.conv_shortcut"),
        format!("{original}.nin_shortcut"),
    );
}

/// A layer of OpenCLIP's text encoder, but for its query, key and value, which are one matrix
/// there.
const CLIP_LAYER: [(&str, &str); 5] = [
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("self_attn.out_proj", "attn.out_proj"),
];

/// The modules of OpenCLIP's text encoder of so many layers.
pub(super) fn open_clip(layers: usize) -> Names {
    let mut names = Names::default();
    names.add("text_model.embeddings.token_embedding", "token_embedding");
    names.add("text_model.final_layer_norm", "ln_final");
    for i in 0..layers {
        let (ours, theirs) = (
            format!("text_model.encoder.layers.{i}"),
            format!("transformer.resblocks.{i}"),
        );
        names.add_parts(&ours, &theirs, &CLIP_LAYER);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_known_module_is_exchanged() {
        let mut names = Names::default();
        names.add("a", "x");
        names.add_parts("a.b", "y", &[("c", "z")]);
        assert_eq!(
            names.original("a.b.c.weight").as_deref(),
            Some("y.z.weight")
        );
        assert_eq!(names.original("a.b.weight").as_deref(), Some("x.b.weight"));
        assert_eq!(names.diffusers("y.z.bias").as_deref(), Some("a.b.c.bias"));
        assert_eq!(
            (names.diffusers("q.bias"), names.diffusers("y")),
            (None, None)
        );
    }

    #[test]
    fn control_networks_have_outputs_and_a_way_in_of_their_own() {
        let there = [
            "input_blocks.1.0.in_layers.0",
            "zero_convs.0.0",
            "zero_convs.1.0",
        ];
        let hints = (0..3).map(|i| format!("input_hint_block.{}", 2 * i));
        let there: Vec<String> = there.map(str::to_owned).into_iter().chain(hints).collect();
        let names = control(&|name| {
            there
                .iter()
                .any(|module| name == format!("{module}.weight"))
        });
        for (original, diffusers) in [
            (
                "input_blocks.1.0.emb_layers.1.bias",
                "down_blocks.0.resnets.0.time_emb_proj.bias",
            ),
            ("middle_block_out.0.weight", "controlnet_mid_block.weight"),
            ("zero_convs.1.0.bias", "controlnet_down_blocks.1.bias"),
            (
                "input_hint_block.0.weight",
                "controlnet_cond_embedding.conv_in.weight",
            ),
            (
                "input_hint_block.2.weight",
                "controlnet_cond_embedding.blocks.0.weight",
            ),
            (
                "input_hint_block.4.weight",
                "controlnet_cond_embedding.conv_out.weight",
            ),
        ] {
            assert_eq!(names.diffusers(original).as_deref(), Some(diffusers));
        }
    }

    #[test]
    fn blocks_are_counted_alike_in_both_numberings() {
        let layout = UnetLayout {
            layers: vec![2, 2, 2],
            crossed: vec![true, true, false],
        };
        let names = layout.names();
        for (diffusers, original) in [
            (
                "down_blocks.1.resnets.0.conv1.weight",
                "input_blocks.4.0.in_layers.2.weight",
            ),
            (
                "down_blocks.0.downsamplers.0.conv.bias",
                "input_blocks.3.0.op.bias",
            ),
            (
                "up_blocks.0.attentions.2.norm.weight",
                "output_blocks.2.1.norm.weight",
            ),
            (
                "up_blocks.0.upsamplers.0.conv.weight",
                "output_blocks.2.2.conv.weight",
            ),
            (
                "up_blocks.2.resnets.0.time_emb_proj.bias",
                "output_blocks.6.0.emb_layers.1.bias",
            ),
        ] {
            assert_eq!(names.original(diffusers).as_deref(), Some(original));
            assert_eq!(names.diffusers(original).as_deref(), Some(diffusers));
        }
        let plain = UnetLayout {
            layers: vec![1, 1],
            crossed: vec![false, true],
        }
        .names();
        let up = plain.original("up_blocks.0.upsamplers.0.conv.weight");
        assert_eq!(up.as_deref(), Some("output_blocks.1.1.conv.weight"));
    }
}
