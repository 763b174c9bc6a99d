"""Owns what every picture is painted with: gradients, scattered stars, masked colour. What to paint is left to world.py and scenes.py."""

import numpy as np

from palette import NIGHT_STAR, SIZE


def vertical_gradient(top, bottom):
    """[SIZE, SIZE, 3] from one colour to another."""
    weight = np.linspace(0.0, 1.0, SIZE, dtype=np.float32)[:, None, None]
    rows = (1 - weight) * np.float32(top) + weight * np.float32(bottom)
    return np.broadcast_to(rows, (SIZE, SIZE, 3)).copy()


def scatter_stars(picture, rng, count, lowest=SIZE):
    """Small bright dots, in place."""
    for _ in range(count):
        x, y = int(rng.integers(3, SIZE - 3)), int(rng.integers(3, lowest - 3))
        glow = rng.uniform(0.45, 0.9)
        for dx, dy, share in ((0, 0, 1.0), (1, 0, 0.5), (-1, 0, 0.5), (0, 1, 0.5), (0, -1, 0.5)):
            pixel = picture[y + dy, x + dx]
            pixel += (np.float32(NIGHT_STAR) - pixel) * glow * share


def paint(picture, mask, colour, shade=0.06):
    """Blends a colour over the picture under a mask, a little lighter above than below."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return
    weight = np.clip((np.arange(SIZE) - rows[0]) / max(1, rows[-1] - rows[0]), 0, 1)[:, None, None]
    tone = np.clip(np.float32(colour) * (1 + shade * (1 - 2 * weight)), 0, 255)
    picture += (tone - picture) * mask[..., None]
