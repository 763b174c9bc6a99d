"""Pictures, masks, and the pictures filled as A1111 does it (`masked content: fill`): what is kept, blurred ever less by
Pillow and laid over itself. Pillow 13.0.0. Writes masked_content/*.png beside this file."""
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

OUT = Path(__file__).parent / "masked_content"


def filled(picture, mask):
    kept = Image.new("RGBa", picture.size)
    kept.paste(picture.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask))
    over = Image.new("RGBA", picture.size)
    for radius, times in [(256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1)]:
        layer = kept.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            over.alpha_composite(layer)
    return over.convert("RGB")


def case(name, size, box, blur):
    numbers = np.random.default_rng(len(name) * size[0])
    coarse = Image.fromarray(numbers.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    picture = coarse.resize(size, Image.BICUBIC)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask
    for kind, image in [("picture", picture), ("mask", mask), ("filled", filled(picture, mask))]:
        image.save(OUT / f"{name}-{kind}.png")


OUT.mkdir(exist_ok=True)
case("soft", (40, 32), (10, 8, 28, 20), 3)
case("hard", (24, 24), (0, 6, 12, 23), 0)
case("wide", (150, 8), (20, 0, 130, 7), 0)
