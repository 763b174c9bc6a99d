"""Owns the measuring of a picture: what background and which objects it shows. It knows no prompt; that is left to score.py."""

import numpy as np

from palette import BACKGROUND_COLOURS, NIGHT_BOTTOM, NIGHT_TOP, OBJECT_COLOURS, SHAPES, SIZE
from shapes import shape_mask

BORDER = 5  # pixels of frame that always show background
APART = 40.0  # RGB distance from which a pixel is not background
SMALLEST = 60  # pixels; a smaller patch is a star or a speck
TEMPLATE_RADII = np.arange(10.0, 47.0, 1.0)
SHIFTS = (-1, 0, 1)


def nearest(colour, table):
    """The name in a table of RGB colours that lies nearest to a colour."""
    return min(table, key=lambda name: float(np.sum((np.float32(table[name]) - colour) ** 2)))


def foreground(picture):
    """Pixels unlike the frame's both in their row and in their column: bool [SIZE, SIZE]."""
    picture = picture.astype(np.float32)
    sides = np.concatenate([picture[:, :BORDER], picture[:, -BORDER:]], axis=1)
    ends = np.concatenate([picture[:BORDER], picture[-BORDER:]], axis=0)
    across = np.linalg.norm(picture - np.median(sides, axis=1)[:, None], axis=2)
    along = np.linalg.norm(picture - np.median(ends, axis=0)[None], axis=2)
    return np.minimum(across, along) > APART


def patches(mask):
    """The 4-connected patches of a mask, largest first; specks are left out."""
    left, found = mask.copy(), []
    for start in zip(*np.nonzero(mask)):
        if not left[start]:
            continue
        patch, queue = np.zeros_like(mask), [start]
        left[start] = False
        while queue:
            y, x = queue.pop()
            patch[y, x] = True
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= near[0] < SIZE and 0 <= near[1] < SIZE and left[near]:
                    left[near] = False
                    queue.append(near)
        if patch.sum() >= SMALLEST:
            found.append(patch)
    return sorted(found, key=lambda patch: -patch.sum())


def overlap(a, b):
    """Intersection over union of two masks."""
    return float((a & b).sum()) / max(1.0, float((a | b).sum()))


def box_of(mask):
    """Left, top, right, bottom of a mask, in pixels, right and bottom exclusive."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def templates():
    """Every shape at every radius: name, radius, mask, its box."""
    table = []
    for shape in SHAPES:
        for radius in TEMPLATE_RADII:
            mask = shape_mask(shape, (SIZE / 2, SIZE / 2), radius) > 0.5
            table.append((shape, float(radius), mask, box_of(mask)))
    return table


TEMPLATES = templates()


def match_shape(patch):
    """The template that overlaps a patch best when their boxes' middles meet, give or take SHIFTS."""
    left, top, right, bottom = box_of(patch)
    best = {"shape": "", "radius": 0.0, "overlap": 0.0, "centre": ((left + right) / 2, (top + bottom) / 2)}
    for shape, radius, mask, box in TEMPLATES:
        wide, high = box[2] - box[0], box[3] - box[1]
        if abs(wide - (right - left)) > 10 or abs(high - (bottom - top)) > 10:
            continue
        dx, dy = (left + right - box[0] - box[2]) // 2, (top + bottom - box[1] - box[3]) // 2
        for shift_x in SHIFTS:
            for shift_y in SHIFTS:
                score = overlap(patch, np.roll(mask, (dy + shift_y, dx + shift_x), axis=(0, 1)))
                if score > best["overlap"]:
                    centre = (SIZE / 2 + dx + shift_x, SIZE / 2 + dy + shift_y)
                    best = {"shape": shape, "radius": radius, "overlap": score, "centre": centre}
    return best


def measure_object(picture, patch):
    """Colour, and of the best template shape, overlap, radius and centre, of one patch."""
    inner = patch & np.roll(patch, 1, 0) & np.roll(patch, -1, 0) & np.roll(patch, 1, 1) & np.roll(patch, -1, 1)
    colour = np.median(picture[inner if inner.sum() >= 20 else patch].astype(np.float32), axis=0)
    return {"colour": nearest(colour, OBJECT_COLOURS), **match_shape(patch)}


def measure_objects(picture):
    """All objects in a uint8 picture, largest first."""
    return [measure_object(picture, patch) for patch in patches(foreground(picture))]


def measure_background(picture):
    """A background in the world's own words: (kind, colour...)."""
    picture = picture.astype(np.float32)
    sides = np.median(np.concatenate([picture[:, :BORDER], picture[:, -BORDER:]], axis=1), axis=1)
    ends = np.median(np.concatenate([picture[:BORDER], picture[-BORDER:]], axis=0), axis=0)
    first, last = sides[:8].mean(axis=0), sides[-8:].mean(axis=0)
    stripes = ends.reshape(8, 16, 3)[:, 4:12].mean(axis=1)
    if np.linalg.norm(stripes[0::2].mean(axis=0) - stripes[1::2].mean(axis=0)) > 20:
        return ("striped", nearest(stripes[0::2].mean(axis=0), BACKGROUND_COLOURS))
    if np.linalg.norm(first - NIGHT_TOP) < 45 and np.linalg.norm(last - NIGHT_BOTTOM) < 45:
        return ("night",)
    if np.linalg.norm(first - last) > 30:
        return ("gradient", nearest(first, BACKGROUND_COLOURS), nearest(last, BACKGROUND_COLOURS))
    return ("plain", nearest(sides.mean(axis=0), BACKGROUND_COLOURS))
