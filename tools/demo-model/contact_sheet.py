"""Owns the pictures in docs/images: the first picture, the contact sheet, the loss curve."""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from score import load_pipeline, render
from training import pick_device

FIRST = "a red circle on a blue background"
SHEET = [
    FIRST,
    "a yellow star above a green square on a pink background",
    "a house by a tree at sunset",
    "a sailboat on the sea under the moon",
    "mountains and the sun",
    "a big pink heart on purple stripes",
    "a small white moon in the top right corner in a night sky",
    "a red hot air balloon over the hills",
    "a purple hexagon on a yellow background",
    "a blue ring on a gradient from yellow to pink",
    "a snowman with a red scarf in the snow",
    "a cactus with a pink flower in the desert at sunset",
    "a brown triangle at the bottom on a green background",
    "an orange diamond to the left of a blue circle on a white background",
    "a green cross on the right on a black background",
    "a tiny black star on an orange background",
    "a large yellow moon on a purple striped background",
    "a pink circle below a white star in a night sky",
    "a house with a blue roof by a tree at night",
    "a yellow sailboat on the sea on a sunny day",
    "purple mountains at night",
    "a red heart right of a purple ring on a blue background",
    "a big white hexagon on a red to orange gradient",
    "a purple balloon in the sky at sunset",
]
ACROSS, MARGIN = 6, 6


def sheet(pictures):
    """The pictures in rows of ACROSS on white."""
    size = pictures.shape[1]
    rows = len(pictures) // ACROSS
    step = size + MARGIN
    page = np.full((rows * step + MARGIN, ACROSS * step + MARGIN, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = MARGIN + index // ACROSS * step, MARGIN + index % ACROSS * step
        page[top:top + size, left:left + size] = picture
    return Image.fromarray(page)


def loss_curve(folder, path):
    """Both trainings' losses over their steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
    curves = (("vae", "restored", "autoencoder: L1 + L2"), ("unet", "loss", "text encoder and UNet: weighted v loss"))
    for axis, (name, key, title) in zip(axes, curves):
        lines = [json.loads(line) for line in (folder / f"{name}-loss.jsonl").read_text().splitlines()]
        axis.plot([line["step"] for line in lines], [line[key] for line in lines], linewidth=1)
        axis.set_yscale("log")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7, which="both")
    figure.savefig(path, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--losses", type=Path, help="folder of the training logs")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    args = parser.parse_args()
    pipeline = load_pipeline(args.model, None, pick_device())
    pictures = render(pipeline, SHEET, [1] * len(SHEET), args.steps, args.guidance)
    args.out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pictures[0]).save(args.out / "demo-first.png", optimize=True)
    sheet(pictures).save(args.out / "demo-contact-sheet.png", optimize=True)
    if args.losses:
        loss_curve(args.losses, args.out / "demo-loss.png")


if __name__ == "__main__":
    main()
