"""Owns the world's words: colours, shapes, sizes, places. Drawing them is left to shapes.py and world.py."""

SIZE = 128  # pixels, both sides

# Objects are saturated, backgrounds soft: any two different names stay apart by eye and by measure.
OBJECT_COLOURS = {
    "red": (218, 62, 62),
    "orange": (243, 138, 46),
    "yellow": (250, 206, 62),
    "green": (62, 158, 92),
    "blue": (52, 106, 204),
    "purple": (128, 76, 178),
    "pink": (242, 122, 170),
    "brown": (134, 86, 58),
    "white": (252, 250, 244),
    "black": (38, 38, 48),
}

BACKGROUND_COLOURS = {
    "red": (228, 132, 124),
    "orange": (248, 190, 130),
    "yellow": (250, 228, 146),
    "green": (166, 212, 168),
    "blue": (150, 192, 236),
    "purple": (192, 168, 224),
    "pink": (248, 200, 216),
    "brown": (190, 158, 134),
    "white": (246, 243, 236),
    "black": (58, 60, 74),
}

NIGHT_TOP, NIGHT_BOTTOM = (20, 26, 62), (58, 62, 122)
NIGHT_STAR = (255, 250, 222)

SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "hexagon", "ring", "cross", "moon")
BACKGROUND_KINDS = ("plain", "gradient", "striped", "night")

# Radius in pixels, from and to; "medium" is what a caption without a size word means.
RADII = {"small": (14.0, 17.0), "medium": (25.0, 29.0), "big": (37.0, 41.0)}

# Centre as a direction from the middle; how far depends on the radius (world.place).
PLACES = {
    "centre": (0, 0),
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
}

RELATIONS = ("above", "below", "left of", "right of")
SCENES = ("house", "sailboat", "mountains", "balloon", "snowman", "cactus")
TIMES = ("day", "sunset", "night")
