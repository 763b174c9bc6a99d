#!/usr/bin/env bash
# The keys of peft's alpha_pattern and rank_pattern are regular expressions held to whole name parts, not substrings.
#
# The guess it breaks: a key such as "blocks.0.attn" or "to_q" is found anywhere in a module's name, as target_modules
# and the converters of other programs find theirs. It has to match the whole end of the name from a dot on; `^` stands for
# the beginning of the whole name; and of two keys that fit, the first in the file counts, not the more exact one, so that
# a program which writes the adapter's record again in sorted order may change its strength.
# Source: peft/utils/other.py, get_pattern_key, peft 0.21.2; run below.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 numpy==2.3.5 transformers==5.5.4 peft==0.21.2
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> /dev/null <<'PY'
import peft
import torch
from peft import LoraConfig, get_peft_model


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.down_blocks = torch.nn.ModuleList([torch.nn.ModuleDict({"to_q": torch.nn.Linear(8, 8)})])

    def forward(self, x):
        return self.down_blocks[0]["to_q"](x)


def alpha(pattern):
    model = get_peft_model(Net(), LoraConfig(r=4, lora_alpha=4, target_modules=["to_q"], alpha_pattern=pattern))
    return next(module.lora_alpha["default"] for module in model.modules() if hasattr(module, "lora_alpha"))


print("peft", peft.__version__, "module down_blocks.0.to_q, alpha 4 where no key fits")
for pattern, expected in [
    ({"to_q": 1}, 1), ({"0.to_q": 1}, 1), ({"blocks.0.to_q": 1}, 4), ({"down_blocks.0": 1}, 4), ({"^to_q": 1}, 4),
    ({"to_.": 1}, 1), ({"to_q": 1, "down_blocks.0.to_q": 2}, 1), ({"down_blocks.0.to_q": 2, "to_q": 1}, 2),
]:
    got = alpha(pattern)
    print(f"{pattern}: alpha {got}")
    assert got == expected, (pattern, got)
PY
