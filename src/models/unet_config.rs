//! The configuration unet/config.json: sizes of every block. Options that the network here does not
//! implement are rejected.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// One number for all levels, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum PerLevel<T> {
    All(T),
    Each(Vec<T>),
}

impl<T: Clone> PerLevel<T> {
    fn levels(&self, key: &str, n: usize) -> Result<Vec<T>> {
        match self {
            Self::All(value) => Ok(vec![value.clone(); n]),
            Self::Each(values) if values.len() == n => Ok(values.clone()),
            Self::Each(values) => Err(broken(format!(
                "`{key}` has {} entries, expected one for each of {n} levels",
                values.len()
            ))),
        }
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default = "four")]
    in_channels: usize,
    #[serde(default = "four")]
    out_channels: usize,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    block_out_channels: Vec<usize>,
    layers_per_block: PerLevel<usize>,
    cross_attention_dim: PerLevel<usize>,
    attention_head_dim: PerLevel<usize>,
    num_attention_heads: Option<PerLevel<usize>>,
    transformer_layers_per_block: Option<PerLevel<usize>>,
    #[serde(default = "thirty_two")]
    norm_num_groups: usize,
    #[serde(default = "default_eps")]
    norm_eps: f64,
    #[serde(default = "yes")]
    flip_sin_to_cos: bool,
    #[serde(default)]
    freq_shift: f64,
    #[serde(default = "one")]
    downsample_padding: usize,
    time_cond_proj_dim: Option<usize>,
    addition_time_embed_dim: Option<usize>,
    projection_class_embeddings_input_dim: Option<usize>,
}

fn one() -> usize {
    1
}

fn four() -> usize {
    4
}

fn thirty_two() -> usize {
    32
}

fn default_eps() -> f64 {
    1e-5
}

fn yes() -> bool {
    true
}

/// One resolution of the network.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub(crate) channels: usize,
    /// Residual blocks of the down block; the up block has one more.
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    /// Transformer blocks after each residual block of the down block; none without
    /// cross-attention.
    pub(crate) down_depth: usize,
    /// Transformer blocks after each residual block of the up block.
    pub(crate) up_depth: usize,
    /// Channels of the context.
    pub(crate) context: usize,
}

/// SDXL's conditioning on sizes and on a pooled prompt (`text_time`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextTime {
    /// Channels of each size's sinusoid.
    pub(crate) time_width: usize,
    /// Channels of pooled prompt and sinusoids together.
    pub(crate) input: usize,
}

/// The network's shape.
#[derive(Clone, Debug)]
pub(crate) struct UnetConfig {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    /// Levels from the highest resolution to the lowest.
    pub(crate) levels: Vec<Level>,
    /// Transformer blocks of the middle.
    pub(crate) mid_depth: usize,
    pub(crate) groups: usize,
    pub(crate) eps: f64,
    pub(crate) cosine_first: bool,
    pub(crate) freq_shift: f64,
    pub(crate) downsample_padding: usize,
    /// Channels of the guidance embedding of distilled networks.
    pub(crate) guidance_width: Option<usize>,
    pub(crate) text_time: Option<TextTime>,
}

impl UnetConfig {
    /// Reads config.json.
    pub(crate) fn parse(json: Value) -> Result<Self> {
        Self::parse_as("unet/config.json", json)
    }

    /// Reads the configuration of a network of the same form in another file, such as a ControlNet.
    pub(super) fn parse_as(file: &str, json: Value) -> Result<Self> {
        Self::read(json).map_err(|error| error.context(file))
    }

    fn read(json: Value) -> Result<Self> {
        refuse(&json)?;
        let text_time = json
            .get("addition_embed_type")
            .is_some_and(|v| v == "text_time");
        let file: File = serde_json::from_value(json).map_err(|e| broken(e.to_string()))?;
        let n = file.block_out_channels.len();
        if n == 0 || file.down_block_types.len() != n || file.up_block_types.len() != n {
            return Err(broken(
                "`block_out_channels`, `down_block_types` and `up_block_types` differ in length"
                    .into(),
            ));
        }
        let depth = file
            .transformer_layers_per_block
            .clone()
            .unwrap_or(PerLevel::All(1));
        let depths = depth.levels("transformer_layers_per_block", n)?;
        let layers = file.layers_per_block.levels("layers_per_block", n)?;
        let heads = file
            .num_attention_heads
            .as_ref()
            .unwrap_or(&file.attention_head_dim);
        let heads = heads.levels("attention_head_dim", n)?;
        let contexts = file.cross_attention_dim.levels("cross_attention_dim", n)?;
        let levels = (0..n)
            .map(|i| {
                Ok(Level {
                    channels: file.block_out_channels[i],
                    layers: layers[i],
                    heads: heads[i],
                    down_depth: if crosses("down", &file.down_block_types[i])? {
                        depths[i]
                    } else {
                        0
                    },
                    up_depth: if crosses("up", &file.up_block_types[n - 1 - i])? {
                        depths[i]
                    } else {
                        0
                    },
                    context: contexts[i],
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            in_channels: file.in_channels,
            out_channels: file.out_channels,
            levels,
            mid_depth: depths[n - 1],
            groups: file.norm_num_groups,
            eps: file.norm_eps,
            cosine_first: file.flip_sin_to_cos,
            freq_shift: file.freq_shift,
            downsample_padding: file.downsample_padding,
            guidance_width: file.time_cond_proj_dim,
            text_time: text_time.then_some(TextTime {
                time_width: file.addition_time_embed_dim.unwrap_or(256),
                input: file.projection_class_embeddings_input_dim.unwrap_or(0),
            }),
        })
    }

    /// Channels of the time embedding.
    pub(crate) fn time_width(&self) -> usize {
        4 * self.levels[0].channels
    }
}

/// Returns true if a block type has cross-attention.
fn crosses(way: &str, name: &str) -> Result<bool> {
    match (way, name) {
        ("down", "CrossAttnDownBlock2D") | ("up", "CrossAttnUpBlock2D") => Ok(true),
        ("down", "DownBlock2D") | ("up", "UpBlock2D") => Ok(false),
        _ => Err(broken(format!(
            "`{way}_block_types` names `{name}`, which sdgen does not know"
        ))
        .hint(if way == "down" {
            "known: CrossAttnDownBlock2D, DownBlock2D"
        } else {
            "known: CrossAttnUpBlock2D, UpBlock2D"
        })),
    }
}

/// Options of `UNet2DConditionModel` that no Stable Diffusion model uses, with the values that mean
/// "off".
const OFF: &[(&str, &[&str])] = &[
    ("act_fn", &["\"silu\""]),
    ("addition_embed_type", &["null", "\"text_time\""]),
    ("attention_type", &["\"default\""]),
    ("center_input_sample", &["false"]),
    ("class_embed_type", &["null"]),
    ("conv_in_kernel", &["3"]),
    ("conv_out_kernel", &["3"]),
    ("cross_attention_norm", &["null"]),
    ("dual_cross_attention", &["false"]),
    ("encoder_hid_dim", &["null"]),
    ("encoder_hid_dim_type", &["null"]),
    ("mid_block_only_cross_attention", &["null", "false"]),
    ("mid_block_scale_factor", &["1", "1.0"]),
    ("mid_block_type", &["\"UNetMidBlock2DCrossAttn\""]),
    ("num_class_embeds", &["null"]),
    (
        "only_cross_attention",
        &["false", "[false,false,false]", "[false,false,false,false]"],
    ),
    ("resnet_out_scale_factor", &["1", "1.0"]),
    ("resnet_skip_time_act", &["false"]),
    ("resnet_time_scale_shift", &["\"default\""]),
    ("reverse_transformer_layers_per_block", &["null"]),
    ("time_embedding_act_fn", &["null"]),
    ("time_embedding_dim", &["null"]),
    ("time_embedding_type", &["\"positional\""]),
    ("timestep_post_act", &["null"]),
];

fn refuse(json: &Value) -> Result<()> {
    for (key, allowed) in OFF {
        if let Some(value) = json.get(key).map(Value::to_string)
            && !allowed.contains(&value.as_str())
        {
            return Err(broken(format!(
                "`{key}` is `{}`, expected {}",
                value.trim_matches('"'),
                allowed.join(" or ")
            )));
        }
    }
    Ok(())
}

fn broken(what: String) -> Error {
    Error::new(Kind::ModelFile, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: &str) -> Result<UnetConfig> {
        let mut json = serde_json::json!({
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
            "block_out_channels": [32, 64], "layers_per_block": 2, "cross_attention_dim": 64,
            "attention_head_dim": [2, 4], "transformer_layers_per_block": [1, 3],
        });
        let change: Value = serde_json::from_str(change).unwrap();
        json.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        UnetConfig::parse(json)
    }

    #[test]
    fn lists_and_single_numbers_describe_levels_from_high_to_low_resolution() {
        let config = config("{}").unwrap();
        let level = |i: usize| {
            (
                config.levels[i].heads,
                config.levels[i].down_depth,
                config.levels[i].up_depth,
            )
        };
        assert_eq!(
            (level(0), level(1), config.mid_depth),
            ((2, 1, 1), (4, 0, 0), 3)
        );
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        let refused = |change: &str| config(change).unwrap_err().to_string();
        let unknown =
            refused(r#"{"down_block_types": ["SimpleCrossAttnDownBlock2D", "DownBlock2D"]}"#);
        assert!(unknown.contains("SimpleCrossAttnDownBlock2D"), "{unknown}");
        assert!(refused(r#"{"class_embed_type": "timestep"}"#).contains("class_embed_type"));
        assert!(refused(r#"{"layers_per_block": [1]}"#).contains("layers_per_block"));
    }
}
