"""Collects the end-to-end cases that the tests run out of a folder made by make_fixtures.py.

usage: python collect.py FIXTURES

Copies case.json and the pictures, and for cases with networks beside the model their inputs; where a case ends at
its latents, diffusers decodes them here.
"""
import functools
import json
import pathlib
import shutil
import sys

import diffusers
import torch
from PIL import Image
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent
SAMPLERS = {
    "DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
}
MODELS = ("sd15", "sd21-v")


def beside(case):
    """Whether a case uses nothing but networks that are kept under adapters/."""
    return bool(case["adapters"]) and all(a[0] in ("controlnet", "taesd", "ip") for a in case["adapters"])


def wanted(case):
    if beside(case):
        return True
    config = case["scheduler"]["config"]
    return (
        not case["adapters"]
        and case["pipeline"] == "StableDiffusionPipeline"
        and case["scheduler"]["class"] in SAMPLERS
        and config.get("algorithm_type", "dpmsolver++") == "dpmsolver++"
        and config.get("solver_order", 2) == 2
        and not config.get("use_beta_sigmas")
        and "guidance_rescale" not in case["args"]
    )


@functools.cache
def decoder(model):
    if (pathlib.Path(model) / "config.json").exists():
        return diffusers.AutoencoderTiny.from_pretrained(model, torch_dtype=torch.float32)
    return diffusers.AutoencoderKL.from_pretrained(model, subfolder="vae", torch_dtype=torch.float32)


@torch.no_grad()
def pictures(folder, case, fixtures):
    if case.get("images"):
        return {name: Image.open(folder / name).convert("RGB") for name in case["images"]}
    latents = load_file(folder / "golden.safetensors")["final_latents"]
    tiny = ["taesd"] in case["adapters"]
    vae = decoder(str(fixtures / ("adapters/taesd" if tiny else case["model"])))
    out = vae.decode(latents / vae.config.scaling_factor).sample
    levels = ((out / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255).round().astype("uint8")
    return {f"image{i}.png": Image.fromarray(level) for i, level in enumerate(levels)}


def main(fixtures):
    count = 0
    for model in MODELS:
        for path in sorted((fixtures / "cases" / model).glob("*/*/case.json")):
            case = json.loads(path.read_text())
            images = pictures(path.parent, case, fixtures) if wanted(case) else {}
            if not images:
                continue
            target = HERE / "cases" / case["id"]
            target.mkdir(parents=True, exist_ok=True)
            (target / "case.json").write_text(path.read_text().replace("-Infinity", "null"))
            for name, image in images.items():
                image.save(target / name)
            if beside(case):
                keys = ("image", "control_image", "ip_adapter_image")
                for name in {case["args"][key] for key in keys if key in case["args"]}:
                    shutil.copy(fixtures / "inputs" / name, HERE / "inputs" / name)
            count += 1
    print(count, "cases")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
