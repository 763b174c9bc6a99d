"""tests/golden/blocks/: a file of every type of blocks as stable-diffusion.cpp writes it (blocks.gguf), and the same numbers
as it reads them (blocks.safetensors). Needs numpy and safetensors, and the path of its program `sd-cli`:

    python blocks.py .../sd-cli
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

TYPES = ["f16", "bf16", "q8_0", "q5_0", "q5_1", "q4_0", "q4_1", "q2_K", "q3_K", "q4_K", "q5_K", "q6_K"]
SHAPE = (2, 256)

here = Path(__file__).parent / "blocks"
here.mkdir(exist_ok=True)
rng = np.random.default_rng(7)


def convert(source, out, kind, rules=""):
    command = [sys.argv[1], "-M", "convert", "-m", source, "-o", out, "--type", kind]
    subprocess.run(command + (["--tensor-type-rules", rules] if rules else []), check=True)


with tempfile.TemporaryDirectory() as work:
    source = f"{work}/source.safetensors"
    # The conversion wants to see a model: one name of a UNet is enough.
    names = {kind: f"model.diffusion_model.as_{kind}.weight" for kind in TYPES}
    save_file({name: rng.standard_normal(SHAPE).astype(np.float32) for name in names.values()}, source)
    rules = ",".join(f"as_{kind}=" + kind for kind in TYPES)
    convert(source, str(here / "blocks.gguf"), "f32", rules)
    convert(str(here / "blocks.gguf"), f"{work}/back.safetensors", "f32")
    save_file(load_file(f"{work}/back.safetensors"), here / "blocks.safetensors")
