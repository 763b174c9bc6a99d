"""Edges as OpenCV draws them, for the tests: python canny.py (needs opencv-python-headless)."""
import pathlib

import cv2

HERE = pathlib.Path(__file__).parent


def main():
    target = HERE / "canny"
    target.mkdir(exist_ok=True)
    for name, low, high in (("init_128", 100, 200), ("init_128", 20, 60), ("ip_96", 50, 150)):
        picture = cv2.imread(str(HERE / "inputs" / f"{name}.png"), cv2.IMREAD_COLOR_RGB)
        cv2.imwrite(str(target / f"{name}-{low}-{high}.png"), cv2.Canny(picture, low, high))


if __name__ == "__main__":
    main()
