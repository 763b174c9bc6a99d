#!/usr/bin/env bash
# lycoris-lora merges LoHa, and LoKr whose right factor is a product, with another strength than it applies them with.
#
# The guess it breaks: merging an adapter into the weights and running it beside them is the same change. `merge_to`
# multiplies these two kinds by (alpha/rank)^2, the forward pass by alpha/rank; with alpha 1 and rank 2 the merged model
# has half of the change. LoRA and LoKr with whole factors agree.
# Source: lycoris/modules/loha.py and lokr.py, get_diff_weight; run below.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 numpy==2.3.5 lycoris-lora==4.1.3
"$work/venv/bin/python" - 2> /dev/null <<'PY'
import importlib.metadata, logging
import torch
logging.disable(logging.CRITICAL)
from lycoris import create_lycoris, create_lycoris_from_weights


def share(algo, **more):
    """The change that merging makes, as a share of the change that applying makes."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(32, 24))
    adapter = create_lycoris(net, 1.0, linear_dim=2, linear_alpha=1.0, algo=algo, **more)
    adapter.apply_to()
    numbers = torch.Generator().manual_seed(1)
    x = torch.randn(4, 32, generator=numbers)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=numbers))
        applied = net(x)
        state = {name: tensor.clone() for name, tensor in adapter.state_dict().items()}
        adapter.restore()
        plain = net(x)
        create_lycoris_from_weights(1.0, "", net, weights_sd=state)[0].merge_to(1.0)
        merged = net(x)
    return ((merged - plain).norm() / (applied - plain).norm()).item()


print("lycoris-lora", importlib.metadata.version("lycoris-lora"), "alpha 1, rank 2")
for name, expected, more in [
    ("lora", 1.0, {}), ("loha", 0.5, {}), ("lokr", 0.5, {"factor": 4}), ("lokr", 1.0, {"factor": 4, "full_matrix": True})
]:
    got = share(name, **more)
    print(f"{name} {more}: merged is {got:.3f} of applied")
    assert abs(got - expected) < 1e-3, (name, got)
PY
