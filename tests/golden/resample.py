"""Pictures at other sizes as diffusers brings them there, for the tests: python resample.py (needs diffusers)."""
import pathlib

from diffusers.image_processor import VaeImageProcessor
from PIL import Image

HERE = pathlib.Path(__file__).parent
# sdgen's name for diffusers' resize mode, and the size.
CASES = (
    ("stretch", "default", 40, 24), ("stretch", "default", 104, 64), ("cover", "crop", 48, 24), ("cover", "crop", 24, 41),
    ("cover", "crop", 120, 72),
    # Lower by more than twice as much as narrower, and by exactly twice as much.
    ("stretch", "default", 88, 32), ("stretch", "default", 70, 40), ("stretch", "default", 64, 36),
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
    # The middle square as CLIP's picture encoders take it.
    tall = Image.open(HERE / "inputs" / "ip_96.png").convert("RGB").crop((0, 0, 30, 90))
    tall.save(target / "tall.png")
    tall.resize((24, 72), Image.Resampling.BICUBIC).crop((0, 24, 24, 48)).save(target / "square.png")


if __name__ == "__main__":
    main()
