"""Owns the picture world: what may stand in a picture (specs) and how it is drawn. Words are left to captions.py."""

import zlib

import numpy as np

import scenes
from canvas import paint, scatter_stars, vertical_gradient
from palette import (BACKGROUND_COLOURS, BACKGROUND_KINDS, NIGHT_BOTTOM, NIGHT_TOP, OBJECT_COLOURS,
                     PLACES, RADII, RELATIONS, SCENES, SHAPES, SIZE, TIMES)
from shapes import shape_mask

STRIPE = 16  # pixels; a multiple of 8, so that stripes fall on whole latent cells
PAIR_RADII = (16.0, 20.0)
HELD_OUT_ONE_IN = 8


def held_out(colour, shape, background):
    """Whether this colour x shape x background never stands in a training picture."""
    key = " ".join((colour, shape, *background)).encode()
    return zlib.crc32(key) % HELD_OUT_ONE_IN == 0


def _pick(rng, items):
    return items[int(rng.integers(len(items)))]


def sample_background(rng):
    """A background as (kind, colour...): plain and striped have one colour, gradient two, night none."""
    kind = _pick(rng, ("plain", "plain", "plain", "gradient", "striped", "night"))
    names = list(BACKGROUND_COLOURS)
    if kind == "night":
        return (kind,)
    if kind == "gradient":
        first, second = rng.choice(len(names), 2, replace=False)
        return (kind, names[first], names[second])
    return (kind, _pick(rng, names))


def _clashes(colour, background):
    return colour in background[1:] or (background[0] == "night" and colour == "black")


def sample_single(rng):
    """One object: colour, shape, size word, place and background."""
    size = _pick(rng, ("small", "medium", "medium", "big"))
    place = "centre" if rng.random() < 0.45 else _pick(rng, list(PLACES)[1:])
    return {"kind": "single", "colour": _pick(rng, list(OBJECT_COLOURS)), "shape": _pick(rng, SHAPES),
            "size": size, "place": place, "background": sample_background(rng)}


def sample_pair(rng):
    """Two objects and how the first lies to the second."""
    objects = [{"colour": _pick(rng, list(OBJECT_COLOURS)), "shape": _pick(rng, SHAPES)} for _ in range(2)]
    return {"kind": "pair", "objects": objects, "relation": _pick(rng, RELATIONS), "background": sample_background(rng)}


def sample_scene(rng):
    """A little scene, its time of day and the colour of its main thing."""
    return {"kind": "scene", "scene": _pick(rng, SCENES), "time": _pick(rng, TIMES),
            "colour": _pick(rng, ("red", "orange", "yellow", "blue", "purple", "pink", "white"))}


def objects_of(spec):
    """The (colour, shape) things of a single or pair spec."""
    return [spec] if spec["kind"] == "single" else spec["objects"]


def allowed(spec, want_held_out=False):
    """Whether a spec is drawable and on the wanted side of the hold-out."""
    if spec["kind"] == "scene":
        return True
    things = objects_of(spec)
    if any(_clashes(thing["colour"], spec["background"]) for thing in things):
        return False
    if spec["kind"] == "pair" and things[0] == things[1]:
        return False
    held = [held_out(thing["colour"], thing["shape"], spec["background"]) for thing in things]
    return any(held) if want_held_out else not any(held)


def sample(rng, shares=(0.48, 0.34, 0.18)):
    """A training spec: single, pair or scene by their shares."""
    maker = (sample_single, sample_pair, sample_scene)[int(rng.choice(3, p=shares))]
    while True:
        spec = maker(rng)
        if allowed(spec):
            return spec


def draw_background(background, rng):
    """[SIZE, SIZE, 3] in 0..255."""
    kind, colours = background[0], [np.float32(BACKGROUND_COLOURS[name]) for name in background[1:]]
    if kind == "night":
        picture = vertical_gradient(NIGHT_TOP, NIGHT_BOTTOM)
        scatter_stars(picture, rng, 22)
        return picture
    if kind == "gradient":
        return vertical_gradient(*colours)
    picture = np.broadcast_to(colours[0], (SIZE, SIZE, 3)).copy()
    if kind == "striped":
        odd = (np.arange(SIZE) // STRIPE) % 2 == 1
        picture[:, odd] += (255.0 - picture[:, odd]) * 0.38 if colours[0].mean() < 240 else -26.0
    return picture


def place(name, radius, rng):
    """Centre in pixels of an object at a named place; it always stays inside the frame."""
    reach = SIZE / 2 - 1.2 * radius - 6
    reach = min(max(reach, 9.0), 32.0)
    jitter = rng.uniform(-2.0, 2.0, size=2)
    return [SIZE / 2 + step * reach + shift for step, shift in zip(PLACES[name], jitter)]


def draw_single(spec, rng):
    """One object on its background."""
    picture = draw_background(spec["background"], rng)
    radius = rng.uniform(*RADII[spec["size"]])
    mask = shape_mask(spec["shape"], place(spec["place"], radius, rng), radius)
    paint(picture, mask, OBJECT_COLOURS[spec["colour"]])
    return picture


def pair_centres(relation, rng):
    """Centres in pixels of the first and the second object."""
    dx, dy = {"above": (0, -1), "below": (0, 1), "left of": (-1, 0), "right of": (1, 0)}[relation]
    centres = []
    for side in (1, -1):
        jitter = rng.uniform(-2.0, 2.0, size=2)
        centres.append((SIZE / 2 + side * dx * 29 + jitter[0], SIZE / 2 + side * dy * 29 + jitter[1]))
    return centres


def draw_pair(spec, rng):
    """Two objects on their background."""
    picture = draw_background(spec["background"], rng)
    for thing, centre in zip(spec["objects"], pair_centres(spec["relation"], rng)):
        paint(picture, shape_mask(thing["shape"], centre, rng.uniform(*PAIR_RADII)), OBJECT_COLOURS[thing["colour"]])
    return picture


def render(spec, rng):
    """Draws a spec: uint8 [SIZE, SIZE, 3]."""
    draw = {"single": draw_single, "pair": draw_pair, "scene": scenes.draw}[spec["kind"]]
    return np.clip(draw(spec, rng) + 0.5, 0, 255).astype(np.uint8)


assert set(BACKGROUND_KINDS) == {"plain", "gradient", "striped", "night"}
