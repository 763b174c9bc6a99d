//! The names that control networks have in the original files (`control_model.*`), and diffusers' for the same.

/// The name in diffusers of a tensor of a control network; names that are diffusers' already stay as they are.
pub(crate) fn in_diffusers(name: &str) -> String {
    let Some(name) = name.strip_prefix("control_model.") else { return name.to_owned() };
    let (layer, tensor) = name.rsplit_once('.').unwrap_or((name, ""));
    let parts: Vec<&str> = layer.split('.').collect();
    let rest = |from: usize| parts[from.min(parts.len())..].join(".");
    let number = |part: &str| part.parse::<usize>().ok();
    let layer = match parts.as_slice() {
        ["time_embed", i, ..] => format!("time_embedding.{}", mlp(i)),
        ["label_emb", "0", i, ..] => format!("add_embedding.{}", mlp(i)),
        ["input_hint_block", i, ..] => hint(number(i)),
        ["zero_convs", i, ..] => format!("controlnet_down_blocks.{i}"),
        ["middle_block_out", ..] => "controlnet_mid_block".to_owned(),
        ["middle_block", "1", ..] => format!("mid_block.attentions.0.{}", rest(2)),
        ["middle_block", i, ..] => {
            format!("mid_block.resnets.{}.{}", if *i == "0" { 0 } else { 1 }, resnet(&rest(2)))
        }
        ["input_blocks", "0", ..] => "conv_in".to_owned(),
        ["input_blocks", n, part, ..] => down(number(n), part, &rest(3)),
        _ => layer.to_owned(),
    };
    format!("{layer}.{tensor}")
}

/// Of two linear layers with an activation between.
fn mlp(i: &str) -> &'static str {
    if i == "0" { "linear_1" } else { "linear_2" }
}

/// Eight convolutions with activations between.
fn hint(i: Option<usize>) -> String {
    let layer = match i {
        Some(0) => "conv_in".to_owned(),
        Some(14) => "conv_out".to_owned(),
        Some(i) => format!("blocks.{}", (i / 2).saturating_sub(1)),
        None => String::new(),
    };
    format!("controlnet_cond_embedding.{layer}")
}

/// Blocks from the second on: two layers of each level and the halving after them.
fn down(n: Option<usize>, part: &str, rest: &str) -> String {
    let n = n.unwrap_or(0).saturating_sub(1);
    let (level, layer) = (n / 3, n % 3);
    match (part, rest) {
        ("0", "op") => format!("down_blocks.{level}.downsamplers.0.conv"),
        ("0", _) => format!("down_blocks.{level}.resnets.{layer}.{}", resnet(rest)),
        _ => format!("down_blocks.{level}.attentions.{layer}.{rest}"),
    }
}

/// A layer of a residual block.
fn resnet(layer: &str) -> &str {
    match layer {
        "in_layers.0" => "norm1",
        "in_layers.2" => "conv1",
        "emb_layers.1" => "time_emb_proj",
        "out_layers.0" => "norm2",
        "out_layers.3" => "conv2",
        "skip_connection" => "conv_shortcut",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn original_names_become_those_of_diffusers() {
        let names = [
            ("input_blocks.0.0.weight", "conv_in.weight"),
            ("input_blocks.3.0.op.bias", "down_blocks.0.downsamplers.0.conv.bias"),
            ("input_blocks.5.0.in_layers.2.weight", "down_blocks.1.resnets.1.conv1.weight"),
            (
                "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
                "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
            ),
            ("middle_block.2.out_layers.3.weight", "mid_block.resnets.1.conv2.weight"),
            ("middle_block_out.0.weight", "controlnet_mid_block.weight"),
            ("zero_convs.11.0.bias", "controlnet_down_blocks.11.bias"),
            ("time_embed.2.bias", "time_embedding.linear_2.bias"),
            ("label_emb.0.0.weight", "add_embedding.linear_1.weight"),
            ("input_hint_block.2.weight", "controlnet_cond_embedding.blocks.0.weight"),
            ("input_hint_block.14.weight", "controlnet_cond_embedding.conv_out.weight"),
        ];
        for (original, name) in names {
            assert_eq!(in_diffusers(&format!("control_model.{original}")), name);
            assert_eq!(in_diffusers(name), name);
        }
    }
}
