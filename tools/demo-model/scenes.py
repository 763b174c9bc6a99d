"""Owns the little scenes: a house by a tree, a sailboat, mountains, a balloon, a snowman, a cactus; each by day, at sunset, at night."""

import math

import numpy as np

from canvas import paint, scatter_stars, vertical_gradient
from palette import OBJECT_COLOURS, SIZE
from shapes import ellipse, polygon_mask, shape_mask

SKIES = {
    "day": ((122, 184, 240), (222, 240, 250)),
    "sunset": ((122, 88, 164), (252, 176, 110)),
    "night": ((18, 24, 60), (64, 72, 136)),
}
SUN = {"day": (255, 222, 92), "sunset": (255, 226, 150), "night": (250, 244, 214)}
# How the light of the hour changes a surface: a factor per channel.
LIGHT = {"day": (1.0, 1.0, 1.0), "sunset": (0.96, 0.76, 0.74), "night": (0.52, 0.55, 0.74)}

GRASS, SAND, SNOW, SEA = (128, 190, 104), (240, 208, 146), (240, 246, 252), (66, 140, 200)
LEAF, TRUNK, ROCK, WINDOW = (66, 146, 84), (122, 84, 60), (126, 134, 164), (255, 226, 130)


class Stage:
    """A picture under one light; coordinates are pixels."""

    def __init__(self, time, rng):
        self.time, self.rng = time, rng
        self.picture = vertical_gradient(*SKIES[time])
        if time == "night":
            scatter_stars(self.picture, rng, 22, lowest=84)

    def jitter(self, reach):
        return float(self.rng.uniform(-reach, reach))

    def fill(self, outline, colour, lit=True, shade=0.05):
        light = LIGHT[self.time] if lit else (1.0, 1.0, 1.0)
        paint(self.picture, polygon_mask(outline), np.float32(colour) * np.float32(light), shade)

    def sun_or_moon(self, x, y):
        if self.time == "night":
            paint(self.picture, shape_mask("moon", (x, y), 13.0), SUN["night"], 0.0)
        else:
            self.fill(ellipse((x, y), 13, 13), SUN[self.time], lit=False, shade=0.0)

    def ground(self, height, colour, wave=0.0, phase=0.0):
        top = [(x, height + wave * math.sin(phase + x / 21.0)) for x in range(-2, SIZE + 3, 4)]
        self.fill(top + [(SIZE + 2, SIZE + 2), (-2, SIZE + 2)], colour, shade=0.08)


def _tree(stage, x, foot, height):
    stage.fill([(x - 3, foot), (x - 3, foot - height * 0.5), (x + 3, foot - height * 0.5), (x + 3, foot)], TRUNK)
    stage.fill(ellipse((x, foot - height * 0.68), height * 0.30, height * 0.36), LEAF, shade=0.12)


def _house(stage, colour):
    stage.sun_or_moon(100 + stage.jitter(6), 28 + stage.jitter(5))
    stage.ground(94, GRASS, 2.5, stage.jitter(3))
    x, foot = 46 + stage.jitter(6), 101
    stage.fill([(x - 21, foot), (x - 21, 68), (x + 21, 68), (x + 21, foot)], (250, 238, 216))
    stage.fill([(x - 27, 69), (x, 44), (x + 27, 69)], colour)
    stage.fill([(x - 5, foot), (x - 5, 83), (x + 5, 83), (x + 5, foot)], TRUNK)
    for side in (-13, 13):
        window = [(x + side - 4, 81), (x + side - 4, 73), (x + side + 4, 73), (x + side + 4, 81)]
        stage.fill(window, WINDOW if stage.time != "day" else (120, 176, 220), lit=False, shade=0.0)
    _tree(stage, 96 + stage.jitter(5), 103, 50 + stage.jitter(5))


def _sailboat(stage, colour):
    stage.sun_or_moon(28 + stage.jitter(6), 28 + stage.jitter(5))
    stage.ground(84, SEA, 1.2, stage.jitter(3))
    x = 70 + stage.jitter(8)
    stage.fill([(x - 2, 34), (x - 2, 84), (x + 1, 84), (x + 1, 34)], TRUNK)
    stage.fill([(x + 2, 36), (x + 27, 80), (x + 2, 80)], colour)
    stage.fill([(x - 4, 44), (x - 4, 80), (x - 22, 80)], (250, 246, 236))
    stage.fill([(x - 28, 84), (x + 32, 84), (x + 22, 98), (x - 20, 98)], (150, 84, 58))
    stage.ground(97, SEA, 1.6, stage.jitter(3))


def _mountains(stage, colour):
    stage.sun_or_moon(64 + stage.jitter(22), 28 + stage.jitter(4))
    rock = 0.72 * np.float32(ROCK) + 0.28 * np.float32(colour)
    for x, peak, half in ((30 + stage.jitter(5), 48, 50), (94 + stage.jitter(5), 56, 46), (64 + stage.jitter(5), 66, 36)):
        stage.fill([(x - half, 106), (x, peak), (x + half, 106)], rock if peak != 66 else rock * 0.86, shade=0.1)
        share = 15 / (106 - peak)
        cap = [(x, peak), (x + half * share, peak + 15), (x + 3, peak + 11), (x - 3, peak + 16), (x - half * share, peak + 15)]
        stage.fill(cap, SNOW, shade=0.0)
    stage.ground(98, GRASS, 3.0, stage.jitter(3))


def _balloon(stage, colour):
    stage.sun_or_moon(104 + stage.jitter(4), 24 + stage.jitter(4))
    stage.ground(102, (110, 172, 110), 6.0, stage.jitter(3))
    stage.ground(112, GRASS, 5.0, stage.jitter(3))
    x, y = 54 + stage.jitter(10), 44 + stage.jitter(4)
    for side in (-1, 1):
        stage.fill([(x + side * 14, y + 16), (x + side * 15, y + 16), (x + side * 6, y + 38), (x + side * 5, y + 38)], TRUNK)
    stage.fill(ellipse((x, y), 25, 27), colour)
    stage.fill(ellipse((x, y), 9, 27), (252, 244, 226))
    stage.fill([(x - 7, y + 37), (x + 7, y + 37), (x + 5, y + 47), (x - 5, y + 47)], TRUNK)


def _snowman(stage, colour):
    stage.sun_or_moon(28 + stage.jitter(5), 26 + stage.jitter(4))
    for x, foot, height in ((100 + stage.jitter(4), 98, 46), (116 + stage.jitter(3), 102, 36)):
        stage.fill([(x - 15, foot), (x, foot - height), (x + 15, foot)], (74, 130, 110), shade=0.1)
    stage.ground(94, SNOW, 2.5, stage.jitter(3))
    x = 60 + stage.jitter(6)
    stage.fill(ellipse((x, 96), 21, 19), (252, 252, 255), shade=0.08)
    stage.fill(ellipse((x, 66), 14, 14), (252, 252, 255), shade=0.06)
    stage.fill([(x - 14, 76), (x + 14, 76), (x + 13, 82), (x - 13, 82)], colour, shade=0.0)
    stage.fill([(x - 12, 56), (x - 12, 52), (x + 12, 52), (x + 12, 56)], (52, 52, 66), shade=0.0)
    stage.fill([(x - 8, 53), (x - 8, 38), (x + 8, 38), (x + 8, 53)], (52, 52, 66), shade=0.0)
    for side in (-5, 5):
        stage.fill(ellipse((x + side, 64), 2, 2), (40, 40, 50), lit=False, shade=0.0)
    stage.fill([(x, 67), (x + 9, 70), (x, 71)], OBJECT_COLOURS["orange"], shade=0.0)


def _cactus(stage, colour):
    stage.sun_or_moon(98 + stage.jitter(6), 28 + stage.jitter(5))
    stage.ground(96, SAND, 4.0, stage.jitter(3))
    x, green = 52 + stage.jitter(8), (74, 150, 96)
    for left, top, right, bottom in ((-7, 44, 7, 106), (-25, 58, -16, 82), (-25, 74, -5, 83), (16, 50, 25, 74), (5, 66, 25, 75)):
        stage.fill([(x + left, top), (x + right, top), (x + right, bottom), (x + left, bottom)], green, shade=0.0)
    for dx, y, radius in ((0, 44, 7.0), (-20.5, 58, 4.5), (20.5, 50, 4.5)):
        stage.fill(ellipse((x + dx, y), radius, radius), green, shade=0.0)
    stage.fill(ellipse((x, 37), 5, 5), colour, shade=0.0)


SCENE_PAINTERS = {"house": _house, "sailboat": _sailboat, "mountains": _mountains, "balloon": _balloon,
                  "snowman": _snowman, "cactus": _cactus}


def draw(spec, rng):
    """Draws a scene spec: float [SIZE, SIZE, 3] in 0..255."""
    stage = Stage(spec["time"], rng)
    SCENE_PAINTERS[spec["scene"]](stage, OBJECT_COLOURS[spec["colour"]])
    return stage.picture
