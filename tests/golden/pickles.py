"""Files that torch saves, small ones, for the reader of pickles.   usage: python pickles.py"""
import collections
import json
import os
import pathlib

import numpy
import safetensors.torch
import torch

HERE = pathlib.Path(__file__).parent / "pickles"


class Attack:
    def __reduce__(self):
        return os.system, ("echo harm > harm.txt",)


def first_program():
    """Embeddings as the first program of textual inversion saves them: token ids are tensors. Older versions of torch
    keep the parameters of a dictionary elsewhere."""
    words = safetensors.torch.load_file(HERE.parent / "adapters/embeddings/tok-multi.safetensors")
    vectors = next(iter(words.values()))
    ids = {"*": torch.tensor(265)}
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors.float())})
    torch.save({"string_to_token": ids, "string_to_param": parameters}, HERE / "first.pt")
    old = torch.nn.ParameterDict.__new__(torch.nn.ParameterDict)
    old.__dict__ = {"training": True, "_parameters": collections.OrderedDict({"*": torch.nn.Parameter(vectors.float())}),
                    "_buffers": collections.OrderedDict(), "_modules": collections.OrderedDict()}
    torch.save({"string_to_token": ids, "string_to_param": old}, HERE / "first-old.pt")
    torch.save({"string_to_token": {"*": torch.tensor([265], dtype=torch.int32)},
                "string_to_param": {"*": vectors.half()}}, HERE / "first-half.pt")


def eight_bits():
    """Types that torch keeps in storages of bytes, one of complex numbers, and what training leaves beside tensors."""
    tensors = {"e4m3": torch.arange(-4, 4).reshape(4, 2).to(torch.float8_e4m3fn)[1:],
               "e5m2": torch.tensor([0.25, -3.0]).to(torch.float8_e5m2), "complex": torch.zeros(2, dtype=torch.complex64)}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    torch.save({"state_dict": {"state_dict": tensors, "inner": [torch.ones(2)]}, "global_step": 7,
                "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [], "callbacks": {"a": {"best": torch.ones(1)}}},
               HERE / "eight-bits.ckpt")


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
    first_program()
    eight_bits()
    torch.save({"state_dict": {"a": torch.zeros(2)}, "extra": Attack()}, HERE / "attack.ckpt")
    torch.save({"a": torch.zeros(2)}, HERE / "legacy.ckpt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
