"""Owns the training set on disk: pictures (uint8) and several captions each. What they show is left to world.py and captions.py."""

import argparse
import json
from multiprocessing import Pool
from pathlib import Path

import numpy as np

import world
from captions import caption
from palette import SIZE

CAPTIONS_PER_PICTURE = 6
SHARD = 1000


def draw_shard(job):
    """Fills one shard of the pictures file and returns its captions."""
    path, count, seed, shard = job
    pictures = np.load(path, mmap_mode="r+")
    rng = np.random.default_rng([seed, shard])
    lines = []
    for index in range(shard * SHARD, min(count, (shard + 1) * SHARD)):
        spec = world.sample(rng)
        pictures[index] = world.render(spec, rng)
        lines.append([caption(spec, rng) for _ in range(CAPTIONS_PER_PICTURE)])
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "pictures.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (args.count, SIZE, SIZE, 3)).flush()
    jobs = [(path, args.count, args.seed, shard) for shard in range(-(-args.count // SHARD))]
    with Pool(args.workers) as pool:
        shards = pool.map(draw_shard, jobs, chunksize=1)
    captions = [lines for shard in shards for lines in shard]
    (args.out / "captions.json").write_text(json.dumps(captions))


if __name__ == "__main__":
    main()
