"""The tensors of a control network by their names in the original files and in diffusers: python control_names.py.

Writes adapters/controlnet-a.names.json, pairs of (original, diffusers).
"""
import json
import pathlib

from safetensors import safe_open

from refgen.ldm import rename, unet_prefix_map

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "adapters" / "controlnet-a"


def main():
    config = json.loads((FOLDER / "config.json").read_text())
    levels = len(config["block_out_channels"])
    names = unet_prefix_map({**config, "up_block_types": ["UpBlock2D"] * levels})
    blocks = 2 * (len(config["conditioning_embedding_out_channels"]) - 1)
    names["controlnet_cond_embedding.conv_in"] = "input_hint_block.0"
    for i in range(blocks):
        names[f"controlnet_cond_embedding.blocks.{i}"] = f"input_hint_block.{2 * (i + 1)}"
    names["controlnet_cond_embedding.conv_out"] = f"input_hint_block.{2 * (blocks + 1)}"
    for i in range(1 + levels * config["layers_per_block"] + levels - 1):
        names[f"controlnet_down_blocks.{i}"] = f"zero_convs.{i}.0"
    names["controlnet_mid_block"] = "middle_block_out.0"
    with safe_open(FOLDER / "diffusion_pytorch_model.safetensors", "pt") as file:
        pairs = [("control_model." + rename(key, names), key) for key in sorted(file.keys())]
    (HERE / "adapters" / "controlnet-a.names.json").write_text(json.dumps(pairs, indent=0) + "\n")


if __name__ == "__main__":
    main()
