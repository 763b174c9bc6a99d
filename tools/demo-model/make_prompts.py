"""Owns the fixed list of scored prompts: held-out specs, one caption each, written once to score_prompts.json."""

import argparse
import json
from pathlib import Path

import numpy as np

import world
from captions import caption


def tells_background(spec, words):
    """Whether a caption says the background; the grammar sometimes leaves a plain one out."""
    return spec["background"][0] != "plain" or "background" in words or "backdrop" in words


def held_out_prompts(maker, count, rng):
    """Captions of specs that hold at least one colour x shape x background never seen in training."""
    prompts, seen = [], set()
    while len(prompts) < count:
        spec = maker(rng)
        words = caption(spec, rng)
        if world.allowed(spec, want_held_out=True) and tells_background(spec, words) and words not in seen:
            seen.add(words)
            prompts.append({"prompt": words, "seed": 1000 + len(prompts), "expected": spec})
    return prompts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("score_prompts.json"))
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    lines = []
    for name, maker, count in (("single", world.sample_single, 100), ("pair", world.sample_pair, 50)):
        prompts = ["  " + json.dumps(prompt) for prompt in held_out_prompts(maker, count, rng)]
        lines.append(f' "{name}": [\n' + ",\n".join(prompts) + "\n ]")
    args.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
