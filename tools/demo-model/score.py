"""Owns the score: renders the held-out prompts and counts what is right. Measuring one picture is left to measure.py."""

import argparse
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from PIL import Image

from measure import measure_background, measure_objects
from palette import PLACES, RADII, SIZE
from training import pick_device

LEAST_OVERLAP = 0.7
BATCH = 10
SIZE_BOUNDS = {"small": (0.0, 21.0), "medium": (21.0, 33.0), "big": (33.0, 99.0)}


def load_pipeline(model, scheduler, device):
    """The shipped folder in f32, with the default sampler or a named one in its place."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32).to(device)
    if scheduler:
        pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render(pipeline, prompts, seeds, steps, guidance):
    """uint8 [n, SIZE, SIZE, 3]; the picture of a prompt does not depend on its neighbours."""
    pictures = []
    for start in range(0, len(prompts), BATCH):
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds[start:start + BATCH]]
        pictures += pipeline(prompts[start:start + BATCH], generator=generators, num_inference_steps=steps,
                             guidance_scale=guidance, height=SIZE, width=SIZE, output_type="np").images.tolist()
    return (np.array(pictures) * 255).round().astype(np.uint8)


def nearest_place(centre, size):
    """The place word whose centre lies nearest, for an object of that size word."""
    radius = sum(RADII[size]) / 2
    reach = min(max(SIZE / 2 - 1.2 * radius - 6, 9.0), 32.0)
    offset = (np.array(centre) - SIZE / 2) / reach
    return min(PLACES, key=lambda name: float(np.sum((offset - PLACES[name]) ** 2)))


def is_shape(found, name):
    """Whether the best template is that shape, and covers it well."""
    return found["shape"] == name and found["overlap"] >= LEAST_OVERLAP


def check_single(picture, expected):
    """What is right in a picture of one object."""
    right = {"background": measure_background(picture) == tuple(expected["background"])}
    objects = measure_objects(picture)
    if not objects:
        return {**right, "colour": False, "shape": False, "size": False, "place": False}
    found, bounds = objects[0], SIZE_BOUNDS[expected["size"]]
    right["colour"] = found["colour"] == expected["colour"]
    right["shape"] = is_shape(found, expected["shape"])
    right["size"] = bounds[0] <= found["radius"] < bounds[1]
    right["place"] = nearest_place(found["centre"], expected["size"]) == expected["place"]
    return right


def check_pair(picture, expected):
    """What is right in a picture of two objects; "objects" asks for both colours, both shapes and their places."""
    right = {"background": measure_background(picture) == tuple(expected["background"])}
    found = measure_objects(picture)[:2]
    if len(found) < 2:
        return {**right, "colours": False, "shapes": False, "objects": False}
    axis = 1 if expected["relation"] in ("above", "below") else 0
    found.sort(key=lambda one: one["centre"][axis])
    if expected["relation"] in ("below", "right of"):
        found.reverse()
    apart = abs(found[0]["centre"][axis] - found[1]["centre"][axis]) > 20
    right["colours"] = all(one["colour"] == want["colour"] for one, want in zip(found, expected["objects"]))
    right["shapes"] = all(is_shape(one, want["shape"]) for one, want in zip(found, expected["objects"]))
    right["objects"] = apart and right["colours"] and right["shapes"]
    return right


CHECKS = {"single": check_single, "pair": check_pair}


def table(results):
    """Markdown lines: how many are right, per kind and check."""
    lines = ["| prompts | check | right |", "|---|---|---|"]
    for kind, rows in results.items():
        for check in rows[0]:
            lines.append(f"| {kind} | {check} | {sum(row[check] for row in rows)} of {len(rows)} |")
        lines.append(f"| {kind} | all of these | {sum(all(row.values()) for row in rows)} of {len(rows)} |")
    return "\n".join(lines)


def keep_pictures(folder, kind, pictures, rows):
    """Writes each picture under a name that says what is wrong with it."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (picture, row) in enumerate(zip(pictures, rows)):
        wrong = "-".join(check for check, right in row.items() if not right)
        Image.fromarray(picture).save(folder / f"{kind}-{index:03}-{wrong or 'right'}.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="assets/demo")
    parser.add_argument("--prompts", type=Path, default=Path(__file__).with_name("score_prompts.json"))
    parser.add_argument("--scheduler", help="a diffusers scheduler class instead of the folder's own")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--limit", type=int, default=None, help="only the first prompts of each kind")
    parser.add_argument("--only", choices=list(CHECKS), help="one kind of prompts only")
    parser.add_argument("--pictures", type=Path, help="folder for the rendered pictures")
    args = parser.parse_args()
    pipeline = load_pipeline(args.model, args.scheduler, pick_device())
    results = {}
    for kind, prompts in json.loads(args.prompts.read_text()).items():
        if args.only not in (None, kind):
            continue
        prompts = prompts[:args.limit]
        words, seeds = [one["prompt"] for one in prompts], [one["seed"] for one in prompts]
        pictures = render(pipeline, words, seeds, args.steps, args.guidance)
        results[kind] = [CHECKS[kind](picture, one["expected"]) for picture, one in zip(pictures, prompts)]
        if args.pictures:
            keep_pictures(args.pictures, kind, pictures, results[kind])
    print(table(results))


if __name__ == "__main__":
    main()
