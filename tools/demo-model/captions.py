"""Owns the caption grammar: how a spec is said in words, with synonyms. What may be said is left to world.py."""

import re

import numpy as np

import world

COLOUR_WORDS = {
    "red": ("red", "red", "red", "crimson", "scarlet"), "orange": ("orange",),
    "yellow": ("yellow", "yellow", "yellow", "golden"), "green": ("green",), "blue": ("blue",),
    "purple": ("purple", "purple", "violet"), "pink": ("pink", "pink", "pink", "rosy"), "brown": ("brown",),
    "white": ("white",), "black": ("black",),
}
SHAPE_WORDS = {
    "circle": ("circle", "circle", "circle", "disc", "dot", "ball"), "square": ("square", "square", "square", "box"),
    "triangle": ("triangle",), "star": ("star",), "heart": ("heart",),
    "diamond": ("diamond", "diamond", "diamond", "rhombus"), "hexagon": ("hexagon",),
    "ring": ("ring", "ring", "ring", "donut"), "cross": ("cross", "cross", "plus"),
    "moon": ("moon", "moon", "crescent", "crescent moon"),
}
SIZE_WORDS = {"small": ("small", "small", "little", "tiny"), "medium": ("", "", "", "medium"),
              "big": ("big", "large", "huge")}
RELATION_WORDS = {"above": ("above", "above", "over", "on top of"), "below": ("below", "below", "under", "beneath"),
                  "left of": ("left of", "to the left of"), "right of": ("right of", "to the right of")}
TIME_WORDS = {"day": ("by day", "in the daytime", "on a sunny day", "in the sun", ""),
              "sunset": ("at sunset", "at sunset", "in the evening", "at dusk"),
              "night": ("at night", "at night", "under the moon", "in the moonlight")}
SCENE_WORDS = {
    "house": ("a house by a tree", "a house next to a tree", "a house with a {colour} roof by a tree",
              "a {colour} house by a tree", "a little {colour} house and a tree"),
    "sailboat": ("a sailboat on the sea", "a boat on the sea", "a sailboat with a {colour} sail on the sea",
                 "a {colour} sailboat on the sea", "a {colour} boat on the water"),
    "mountains": ("mountains", "snowy mountains", "mountains and hills", "{colour} mountains", "{colour} mountains"),
    "balloon": ("a balloon over the hills", "a hot air balloon over the hills", "a {colour} balloon over the hills",
                "a {colour} hot air balloon in the sky", "a {colour} balloon in the sky"),
    "snowman": ("a snowman in the snow", "a snowman", "a snowman with a {colour} scarf in the snow",
                "a snowman with a {colour} scarf", "a snowman by the trees"),
    "cactus": ("a cactus in the desert", "a cactus", "a cactus with a {colour} flower in the desert",
               "a cactus with a {colour} flower", "a green cactus in the sand"),
}
LIGHT_WORDS = {"day": ("{} and the sun", "{} under the sun"), "sunset": ("{} and the setting sun",),
               "night": ("{} and the moon", "{} under the stars")}
OPENINGS = ("a picture of ", "a drawing of ", "an image of ")
BACKDROPS = ("background", "background", "background", "backdrop")


def _pick(rng, items):
    return items[int(rng.integers(len(items)))]


def with_article(words):
    """Puts "a" or "an" before a noun phrase."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def background_phrase(background, rng):
    """How a background is said, or "" where it is left out (plain ones only, and seldom)."""
    kind, colours = background[0], [_pick(rng, COLOUR_WORDS[name]) for name in background[1:]]
    if kind == "night":
        return _pick(rng, ("in a night sky", "in the night sky", "on a night sky background", "in a starry sky",
                           "on a starry night background"))
    if kind == "gradient":
        blend = f"{with_article(colours[0])} to {colours[1]} gradient"
        return "on " + _pick(rng, (f"a gradient from {colours[0]} to {colours[1]}", blend, f"{blend} background"))
    if kind == "striped":
        return "on " + _pick(rng, (f"{with_article(colours[0])} striped background", f"{colours[0]} stripes"))
    if rng.random() < 0.06:
        return ""
    if rng.random() < 0.08:
        return f", {colours[0]} background"
    return _pick(rng, ("on", "on", "on", "over", "in front of")) + f" {with_article(colours[0])} {_pick(rng, BACKDROPS)}"


def place_phrase(place, rng):
    """How a place is said; the centre is mostly left out."""
    if place == "centre":
        return _pick(rng, ("", "", "", "", "in the centre", "in the center", "in the middle"))
    if " " in place:
        return _pick(rng, ("in the {} corner", "in the {}", "at the {}")).format(place)
    return _pick(rng, {"left": ("on the left", "on the left", "at the left", "on the left side"),
                       "right": ("on the right", "on the right", "at the right", "on the right side"),
                       "top": ("at the top", "at the top", "in the top"),
                       "bottom": ("at the bottom", "at the bottom", "in the bottom")}[place])


def thing_phrase(thing, rng):
    """An object with its size word, where it has one, and colour."""
    size = _pick(rng, SIZE_WORDS[thing["size"]]) if "size" in thing else ""
    words = [size, _pick(rng, COLOUR_WORDS[thing["colour"]]), _pick(rng, SHAPE_WORDS[thing["shape"]])]
    return with_article(" ".join(word for word in words if word))


def _single(spec, rng):
    thing, place = thing_phrase(spec, rng), place_phrase(spec["place"], rng)
    background = background_phrase(spec["background"], rng)
    parts = [thing, place, background] if rng.random() < 0.7 else [thing, background, place]
    return " ".join(part for part in parts if part)


def _pair(spec, rng):
    first, second = (thing_phrase(thing, rng) for thing in spec["objects"])
    words = f"{first} {_pick(rng, RELATION_WORDS[spec['relation']])} {second}"
    if spec["relation"] == "left of" and rng.random() < 0.2:
        words = f"{first} {_pick(rng, ('and', 'next to', 'beside'))} {second}"
    return (words + " " + background_phrase(spec["background"], rng)).strip()


def _scene(spec, rng):
    words = _pick(rng, SCENE_WORDS[spec["scene"]]).format(colour=_pick(rng, COLOUR_WORDS[spec["colour"]]))
    words = words.replace("a orange", "an orange")
    if rng.random() < 0.2:
        return _pick(rng, LIGHT_WORDS[spec["time"]]).format(words)
    return (words + " " + _pick(rng, TIME_WORDS[spec["time"]])).strip()


def caption(spec, rng):
    """One way to say a spec."""
    words = {"single": _single, "pair": _pair, "scene": _scene}[spec["kind"]](spec, rng).replace(" ,", ",")
    if spec["kind"] == "single" and rng.random() < 0.06:
        return words.split(" ", 1)[1] if words.startswith(("a ", "an ")) else words
    return _pick(rng, OPENINGS) + words if rng.random() < 0.1 else words


def all_words():
    """Every word the grammar says, sorted."""
    rng, words = np.random.default_rng(0), set()
    for _ in range(20_000):
        words.update(re.findall("[a-z]+", caption(world.sample(rng), rng)))
    return sorted(words)
