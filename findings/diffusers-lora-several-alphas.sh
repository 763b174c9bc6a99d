#!/usr/bin/env bash
# diffusers gives the attention projections of a kohya LoRA the file's most frequent alpha, not their own.
#
# The guess it breaks: each module of such a file has an `.alpha` of its own, which the loader turns into peft's
# alpha_pattern, so each is scaled by it. For feed-forward and projection layers that is so. The pattern's keys for
# attention projections match no module, so that all of them fall back to the alpha that most modules have. Files with
# one alpha draw right, merged files with several do not, and nothing is said.
# Source: diffusers 0.42.1, utils/peft_utils.py, get_peft_kwargs; peft 0.21.2; run below on a small UNet.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 numpy==2.3.5 diffusers==0.42.1 transformers==5.5.4 peft==0.21.2
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import diffusers
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(32, 32), norm_num_groups=8, layers_per_block=1, cross_attention_dim=16,
    attention_head_dim=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)
pipe = StableDiffusionPipeline(
    vae=None, text_encoder=None, tokenizer=None, unet=unet, scheduler=None, safety_checker=None, feature_extractor=None
)
linear = {n: m for n, m in unet.named_modules() if isinstance(m, torch.nn.Linear) and "transformer_blocks" in n}
state, alphas = {}, {}
for i, (name, module) in enumerate(linear.items()):
    kohya = "lora_unet_" + name.replace(".", "_")
    alphas[name] = [1.0, 2.0, 4.0, 2.0][i % 4]
    state[kohya + ".alpha"] = torch.tensor(alphas[name])
    state[kohya + ".lora_down.weight"] = torch.randn(4, module.in_features)
    state[kohya + ".lora_up.weight"] = torch.randn(module.out_features, 4)
pipe.load_lora_weights(state, adapter_name="it")
print("diffusers", diffusers.__version__, "alphas 1, 2, 4, 2 in turn")
for kind, expected in (("attention", {2.0}), ("feed-forward", {1.0, 2.0, 4.0})):
    names = [name for name in linear if (".attn" in name) == (kind == "attention")]
    got = {name: unet.get_submodule(name).lora_alpha["it"] for name in names}
    wrong = sum(got[name] != alphas[name] for name in names)
    print(f"{kind}: alphas in use {sorted(set(got.values()))}, {wrong} of {len(names)} not their own")
    assert set(got.values()) == expected and (wrong > 0) == (kind == "attention")
PY
