"""Files that torch saves, small ones, for the reader of pickles.   usage: python pickles.py"""
import collections
import json
import os
import pathlib

import numpy
import torch

HERE = pathlib.Path(__file__).parent / "pickles"


class Attack:
    def __reduce__(self):
        return os.system, ("echo harm > harm.txt",)


def main():
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    # As training programs leave it: tensors below `state_dict`, views of one storage, a turned matrix, other things.
    shared = torch.randn(4, 6)
    module = torch.nn.Linear(3, 2)
    state = collections.OrderedDict(module.state_dict())
    state["rows"] = shared[1:3]
    state["turned"] = shared.t()
    state["half"] = torch.randn(5).half()
    state["brain"] = torch.randn(5).bfloat16()
    state["whole"] = torch.arange(3)
    checkpoint = {"epoch": 3, "global_step": 875000, "loss": numpy.float64(0.5), "state_dict": state,
                  "optimizer_states": [{"lr": 1e-4, "betas": (0.9, 0.999), "flag": True, "none": None}]}
    torch.save(checkpoint, HERE / "checkpoint.ckpt")
    values = {name: tensor.float().flatten().tolist() for name, tensor in state.items()}
    (HERE / "checkpoint.json").write_text(json.dumps({"values": values, "shapes": {n: list(t.shape) for n, t in state.items()}}))
    # A1111's embedding.
    parameter = torch.nn.Parameter(torch.randn(2, 4))
    torch.save({"string_to_token": {"*": 265}, "string_to_param": torch.nn.ParameterDict({"*": parameter}),
                "name": "style", "step": 500, "sd_checkpoint": "1234567890"}, HERE / "embedding.pt")
    torch.save({"state_dict": {"a": torch.zeros(2)}, "extra": Attack()}, HERE / "attack.ckpt")
    torch.save({"a": torch.zeros(2)}, HERE / "legacy.ckpt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
