"""Pictures in files of all kinds, and beside each (NAME.png in `seen`) what diffusers' load_image sees in it, for the
tests: python pictures.py (needs diffusers, Pillow 13 and libjpeg-turbo's cjpeg)."""
import io
import pathlib
import shutil
import struct
import subprocess
import tempfile
import zlib

import numpy as np
from diffusers.utils import load_image
from PIL import Image

HERE = pathlib.Path(__file__).parent
TARGET = HERE / "pictures"
RNG = np.random.default_rng(13)
# Odd and even sides, less than a block and more than one.
SIZE = (22, 19)

SCANS = {
    "components": "0;\n1;\n2;\n",
    "coarse": "0,1,2: 0-0, 0, 1;\n0: 1-5, 0, 2;\n",
    "progressive": "0,1,2: 0-0, 0, 1;\n0: 1-5, 0, 2;\n2: 1-63, 0, 1;\n1: 1-63, 0, 1;\n0: 6-63, 0, 2;\n0: 1-63, 2, 1;\n"
    "0,1,2: 0-0, 1, 0;\n2: 1-63, 1, 0;\n1: 1-63, 1, 0;\n0: 1-63, 1, 0;\n",
}


def picture(mode="RGB", size=SIZE):
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([128 + 100 * np.sin(x / 3 + y / 5), 128 + 100 * np.cos(x / 4 - y / 3), (x * 7 + y * 11) % 256], 2)
    image = Image.fromarray(rgb.clip(0, 255).astype("uint8"))
    if mode in ("RGBA", "LA"):
        image = image.convert("RGB" if mode == "RGBA" else "L")
        image.putalpha(Image.fromarray(((x * 13 + y * 29) % 256).astype("uint8")))
        return image
    return image.quantize(16) if mode == "P" else image.convert(mode)


def write(name, content):
    (TARGET / name).write_bytes(content)


def jpegs():
    with tempfile.TemporaryDirectory() as folder:
        ppm, scans = pathlib.Path(folder) / "a.ppm", pathlib.Path(folder) / "scans"
        picture().save(ppm)

        def made(name, *options):
            subprocess.run(["cjpeg", "-quality", "85", *options, "-outfile", TARGET / f"{name}.jpg", ppm], check=True)

        for sampling in ("1x1", "2x1", "2x2", "1x2", "4x1", "4x2", "1x1,2x2,1x1", "2x2,2x1,1x2"):
            made(f"sampling-{sampling.replace(',', '-')}", "-sample", sampling)
        for name, script in SCANS.items():
            scans.write_text(script)
            made(f"scans-{name}", "-scans", scans)
        made("scans-interleaved", "-progressive", "-restart", "1B")
        made("arithmetic", "-arithmetic", "-progressive")
        made("restart", "-restart", "1B", "-optimize")
        made("rgb", "-rgb")
        made("grey", "-grayscale", "-sample", "2x2")
    picture("CMYK").save(TARGET / "cmyk.jpg", quality=85)
    ycck = bytearray((TARGET / "cmyk.jpg").read_bytes())
    ycck[ycck.find(b"Adobe") + 11] = 2
    write("ycck.jpg", ycck)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(size, colour, depth, rows, before=(), behind=()):
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *before, (b"IDAT", data), *behind, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def exif(orientation, kind=3):
    value = struct.pack(">HH", orientation, 0) if kind == 3 else struct.pack(">I", orientation)
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12" + struct.pack(">HI", kind, 1) + value + b"\0\0\0\0"


def xmp(orientation):
    return f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'.encode()


def orientations():
    image, mark = picture(size=(9, 5)), b"Exif\0\0"
    rows = [row.tobytes() for row in np.asarray(image)]

    def pngs(name, before=(), behind=()):
        write(f"turned-{name}.png", png(image.size, 2, 8, rows, before, behind))

    for orientation in range(1, 9):
        image.save(TARGET / f"turned-exif-{orientation}.jpg", exif=mark + exif(orientation), quality=95)
    image.save(TARGET / "turned-long.jpg", exif=mark + exif(6, 4))
    image.save(TARGET / "turned-xmp.jpg", xmp=xmp(8))
    image.save(TARGET / "turned-both.jpg", xmp=xmp(8), exif=mark + exif(3))
    image.save(TARGET / "turned-exif.webp", exif=exif(6), lossless=True)
    image.save(TARGET / "turned-mark.webp", exif=mark + exif(6), lossless=True)
    image.save(TARGET / "turned-xmp.webp", xmp=xmp(5), lossless=True)
    image.save(TARGET / "turned-tag.tif", tiffinfo={274: 7})
    image.save(TARGET / "turned-xmp.tif", tiffinfo={700: xmp(6)})
    profile = f"\nexif\n{len(exif(6)) + 6:8}\n{(mark + exif(6)).hex()}\n".encode()
    pngs("before", before=[(b"eXIf", exif(6))])
    pngs("behind", behind=[(b"eXIf", exif(6))])
    pngs("xmp", before=[(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(8))])
    pngs("xmp-packed", behind=[(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(8)))])
    pngs("profile", before=[(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))])
    pngs("profile-text", behind=[(b"tEXt", b"Raw profile type exif\0" + profile)])


def tiff(size, samples, bits, photometric, data, *tags):
    width, height = size
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [1])]
    entries += [(262, 3, [photometric]), (277, 3, [samples]), (278, 4, [height]), (273, 4, [1024])]
    entries += [(279, 4, [len(data)]), *tags]
    directory, beside, place = b"", b"", 8 + 2 + 12 * len(entries) + 4
    for tag, kind, values in sorted(entries):
        packed = struct.pack("<" + {3: "H", 4: "I"}[kind] * len(values), *values)
        if len(packed) > 4:
            packed, beside = struct.pack("<I", place + len(beside)), beside + packed
        directory += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + b"\0\0\0\0" + beside
    return head.ljust(1024, b"\0") + data


def others():
    size = (7, 5)
    shape = size[::-1]
    words = lambda *more: RNG.integers(0, 65536, (*shape, *more)).astype("<u2")
    bytes_ = lambda *more: RNG.integers(0, 256, (*shape, *more)).astype("u1")
    for colour, channels in ((2, 3), (6, 4), (4, 2)):
        rows = [row.astype(">u2").tobytes() for row in words(channels)]
        write(f"words-{channels}.png", png(size, colour, 16, rows))
    for mode in ("1", "L", "LA", "P", "RGBA"):
        picture(mode).save(TARGET / f"mode-{mode}.png")
    picture("P").save(TARGET / "mode-P-transparent.png", transparency=bytes(range(16)))
    for mode in ("P", "CMYK", "YCbCr", "LA"):
        picture(mode).save(TARGET / f"mode-{mode}.tif", compression="tiff_lzw")
    for mode in ("RGB", "YCbCr"):
        picture(mode).save(TARGET / f"jpeg-{mode}.tif", compression="jpeg")
    picture("1").save(TARGET / "mode-1.tif", compression="group4")
    picture().save(TARGET / "big.tif", big_tiff=True, compression="tiff_adobe_deflate")
    write("words.tif", tiff(size, 3, 16, 2, words(3).tobytes()))
    write("unnamed-sample.tif", tiff(size, 4, 8, 2, bytes_(4).tobytes(), (338, 3, [0])))
    premultiplied = bytes_(4).astype(int)
    premultiplied[..., :3] = premultiplied[..., :3] * premultiplied[..., 3:] // 255
    write("premultiplied.tif", tiff(size, 4, 8, 2, premultiplied.astype("u1").tobytes(), (338, 3, [1])))
    palette = [int(level) for level in RNG.integers(0, 65536, 12)]
    write("two-bits.tif", tiff(size, 1, 2, 3, bytes(RNG.integers(0, 256, 10).tolist()), (320, 3, palette)))
    picture("P").save(TARGET / "still.gif", transparency=2)
    picture("P").save(TARGET / "moving.gif", save_all=True, append_images=[picture("P").rotate(180)])
    for mode in ("P", "L", "RGBA"):
        picture(mode).save(TARGET / f"mode-{mode}.tga", compression="tga_rle")
    picture("RGB").save(TARGET / "mode-RGB.bmp")
    picture("RGBA").save(TARGET / "mode-RGBA.qoi")
    picture("RGBA", (16, 16)).save(TARGET / "icon.ico", sizes=[(16, 16)])
    picture().save(TARGET / "lossy.webp", quality=80)
    picture("RGBA").save(TARGET / "lossless.webp", lossless=True)
    write("levels.ppm", b"P6\n3 1\n63\n" + bytes([0, 1, 2, 30, 31, 32, 61, 62, 63]))
    write("text.ppm", b"P3\n# a remark\n2 1\n255\n1 2 3 250 251 252\n")


def main():
    shutil.rmtree(TARGET, ignore_errors=True)
    (TARGET / "seen").mkdir(parents=True)
    jpegs()
    orientations()
    others()
    for path in TARGET.iterdir():
        if path.is_file():
            seen = io.BytesIO()
            load_image(Image.open(path)).save(seen, "PNG", optimize=True)
            (TARGET / "seen" / f"{path.name}.png").write_bytes(seen.getvalue())


if __name__ == "__main__":
    main()
