"""Collects the end-to-end cases that the tests run out of a folder made by make_fixtures.py.

usage: python collect.py FIXTURES (python random_cases.py FIXTURES 26 22 sd15 sd21-v and noise_cases.py before it)

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


FOLDERS = {"lora": "lora", "merge": "lora", "ti": "embeddings"}


def known(adapter):
    """An adapter that sdgen reads; the word of an embedding is its file's name, unless the file says what it is."""
    kind, *rest = adapter
    if kind == "ti":
        return rest[1] in (None, f"<{rest[0]}>")
    return kind in FOLDERS or kind in ("controlnet", "taesd", "ip")


def beside(case):
    """Whether a case uses nothing but adapters that are kept under adapters/."""
    return bool(case["adapters"]) and all(map(known, case["adapters"]))


def wanted(case):
    if beside(case) or case["group"] in ("random", "noise"):
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


def copy(path):
    target = HERE / "adapters" / path.parent.name / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def a1111(path):
    """The vectors of an embedding as A1111 saves them."""
    vectors = load_file(path)["emb_params"]
    saved = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "a1111", "step": 500,
             "sd_checkpoint": None, "sd_checkpoint_name": None}
    torch.save(saved, HERE / "adapters/embeddings/a1111.pt")


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
            keys = ("image", "mask_image", "control_image", "ip_adapter_image")
            for name in {case["args"][key] for key in keys if key in case["args"]}:
                shutil.copy(fixtures / "inputs" / name, HERE / "inputs" / name)
            for kind, *rest in case["adapters"]:
                if kind in FOLDERS:
                    copy(fixtures / "adapters" / FOLDERS[kind] / f"{rest[0]}.safetensors")
            count += 1
    for folder, name in (("embeddings", "tok-multi"), ("lora", "sd15_kohya_te_only")):
        copy(fixtures / "adapters" / folder / f"{name}.safetensors")
    a1111(fixtures / "adapters/embeddings/tok-multi.safetensors")
    print(count, "cases")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
