"""Owns the outlines of the world's shapes and their anti-aliased masks. Colour and place are left to world.py."""

import math

import numpy as np
from PIL import Image, ImageDraw

from palette import SIZE

OVERSAMPLING = 4


def _arc(radius, start, end, points, centre=(0.0, 0.0)):
    angles = np.linspace(math.radians(start), math.radians(end), points)
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles]


def _regular(corners, radius, start=-90.0, centre=(0.0, 0.0)):
    return _arc(radius, start, start + 360.0 * (corners - 1) / corners, corners, centre)


def _star():
    outer, inner = _regular(5, 1.18, centre=(0, 0.08)), _regular(5, 0.52, start=-54.0, centre=(0, 0.08))
    return [point for pair in zip(outer, inner) for point in pair]


def _heart():
    angles = np.linspace(0.0, 2.0 * math.pi, 60, endpoint=False)
    x = 16 * np.sin(angles) ** 3
    y = 13 * np.cos(angles) - 5 * np.cos(2 * angles) - 2 * np.cos(3 * angles) - np.cos(4 * angles)
    return [(float(a) / 15.2, -float(b) / 15.2 - 0.14) for a, b in zip(x, y)]


def _cross():
    a, b = 0.36, 1.04
    return [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]


def _moon():
    outer = _arc(1.08, 60.0, 300.0, 40, centre=(0.16, 0.0))
    end_x, end_y = outer[-1]
    centre_x = 0.62
    bite = math.hypot(end_x - centre_x, end_y)
    angle = math.degrees(math.atan2(end_y, end_x - centre_x))
    return outer + _arc(bite, angle % 360.0, 360.0 - angle % 360.0, 30, centre=(centre_x, 0.0))


# Unit outline (y grows downwards) and hole, for radius 1 around the origin.
OUTLINES = {
    "circle": (_regular(48, 1.0), None),
    "square": ([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)], None),
    "triangle": ([(0.0, -1.02), (1.1, 0.88), (-1.1, 0.88)], None),
    "star": (_star(), None),
    "heart": (_heart(), None),
    "diamond": ([(0.0, -1.2), (0.86, 0.0), (0.0, 1.2), (-0.86, 0.0)], None),
    "hexagon": (_regular(6, 1.08, start=0.0), None),
    "ring": (_regular(48, 1.06), _regular(40, 0.56)),
    "cross": (_cross(), None),
    "moon": (_moon(), None),
}


def polygon_mask(outline, hole=None, size=SIZE):
    """Coverage in 0..1, [size, size], of a polygon in pixel coordinates."""
    canvas = Image.new("L", (size * OVERSAMPLING,) * 2)
    draw = ImageDraw.Draw(canvas)
    draw.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in outline], fill=255)
    if hole is not None:
        draw.polygon([(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in hole], fill=0)
    return np.asarray(canvas.reduce(OVERSAMPLING), dtype=np.float32) / 255.0


def shape_mask(shape, centre, radius, size=SIZE):
    """Coverage in 0..1, [size, size], of a named shape."""
    outline, hole = OUTLINES[shape]

    def to_pixels(points):
        return [(centre[0] + radius * x, centre[1] + radius * y) for x, y in points]

    return polygon_mask(to_pixels(outline), None if hole is None else to_pixels(hole), size)


def ellipse(centre, radius_x, radius_y, points=36):
    """Outline of an ellipse in pixel coordinates."""
    return [(centre[0] + radius_x * x, centre[1] + radius_y * y) for x, y in _regular(points, 1.0)]
