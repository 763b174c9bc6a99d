"""Draws the demo model's golden pictures with diffusers: python demo.py (in this folder; assets/demo is two levels up)."""
import pathlib

import torch
from diffusers import StableDiffusionPipeline

HERE = pathlib.Path(__file__).parent
PICTURES = {
    "circle": ("a red circle on a blue background", 1),
    "pair": ("a yellow star above a green square on a pink background", 2),
    "house": ("a house by a tree at sunset", 3),
}


def main():
    pipeline = StableDiffusionPipeline.from_pretrained(HERE.parent.parent / "assets" / "demo", torch_dtype=torch.float32)
    target = HERE / "demo"
    target.mkdir(exist_ok=True)
    for name, (prompt, seed) in PICTURES.items():
        generator = torch.Generator("cpu").manual_seed(seed)
        picture = pipeline(prompt, num_inference_steps=20, guidance_scale=4.0, generator=generator).images[0]
        picture.save(target / f"{name}.png")


if __name__ == "__main__":
    main()
