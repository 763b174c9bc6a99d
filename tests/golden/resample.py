"""Pictures at other sizes as diffusers brings them there, for the tests: python resample.py (needs diffusers)."""
import pathlib

from diffusers.image_processor import VaeImageProcessor
from PIL import Image

HERE = pathlib.Path(__file__).parent
# sdgen's name for diffusers' resize mode, and the size.
CASES = (
    ("stretch", "default", 40, 24), ("stretch", "default", 104, 64), ("cover", "crop", 48, 24), ("cover", "crop", 24, 41),
    ("cover", "crop", 120, 72),
)


def main():
    target = HERE / "resample"
    target.mkdir(exist_ok=True)
    picture = Image.open(HERE / "inputs" / "ip_96.png").convert("RGB").crop((0, 0, 75, 58))
    picture.save(target / "picture.png")
    processor = VaeImageProcessor(resample="lanczos")
    for name, mode, width, height in CASES:
        resized = processor.resize(picture, height, width, resize_mode=mode)
        resized.save(target / f"{name}-{width}x{height}.png")


if __name__ == "__main__":
    main()
