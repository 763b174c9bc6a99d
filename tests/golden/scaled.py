"""Weights of eight bits with their factors, and the numbers that torch makes of them.   usage: python scaled.py"""
import pathlib

import safetensors.torch
import torch

HERE = pathlib.Path(__file__).parent / "scaled"


def main():
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    file, values = {}, {}
    # Module, type, shape, name of the factors, their shape and type: ComfyUI's and diffusers' (compressed-tensors') names.
    for module, dtype, shape, end, factors, kind in [
        ("whole", torch.float8_e4m3fn, (6, 8), "scale_weight", (), torch.float32),
        ("one", torch.float8_e4m3fn, (6, 8), "weight_scale", (1,), torch.float32),
        ("square", torch.float8_e5m2, (6, 8), "weight_scale", (1, 1), torch.bfloat16),
        ("rows", torch.float8_e4m3fn, (6, 8), "weight_scale", (6, 1), torch.float32),
        ("flat", torch.float8_e5m2, (6, 8), "scale_weight", (6,), torch.float16),
        ("conv", torch.float8_e4m3fn, (4, 2, 3, 3), "weight_scale", (4, 1, 1, 1), torch.float32),
        ("half", torch.float16, (6, 8), "scale_weight", (), torch.float32),
    ]:
        weight = (torch.randn(shape) * 100).to(dtype)
        scale = (torch.rand(factors) / 1000).to(kind)
        file[f"{module}.weight"], file[f"{module}.{end}"] = weight, scale
        spread = scale.float().reshape(-1, *[1] * (len(shape) - 1)) if scale.numel() > 1 else scale.float().reshape(())
        values[f"{module}.weight"] = weight.float() * spread
    file["whole.scale_input"] = torch.ones(())
    file["one.input_scale"] = torch.ones(1)
    file["one.comfy_quant"] = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    file["scaled_fp8"] = torch.empty(2, dtype=torch.float8_e4m3fn)
    # What is not read: blocks of columns, and whole numbers.
    file["blocks.weight"] = torch.ones(6, 8).to(torch.float8_e4m3fn)
    file["blocks.weight_scale"] = torch.ones(3, 2)
    file["whole_numbers.weight"] = torch.ones(6, 8, dtype=torch.int8)
    file["whole_numbers.weight_scale"] = torch.ones(6, 1)
    safetensors.torch.save_file(file, HERE / "scaled.safetensors")
    safetensors.torch.save_file(values, HERE / "values.safetensors")


if __name__ == "__main__":
    main()
