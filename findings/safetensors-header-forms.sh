#!/usr/bin/env bash
# safetensors reads a tensor whose header entry is a JSON list, and metadata that is null.
#
# The guess it breaks: the format's description, where an entry is an object with dtype, shape and data_offsets and the
# metadata a map of texts, is all that a reader of real files has to take. The reference reader takes what serde takes:
# structures as lists, and an absent value as null. A reader of one's own that is stricter refuses files that others open.
# Source: the format section of the README; safetensors 0.8.0, run below.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.3.5
"$work/venv/bin/python" - "$work/x.safetensors" <<'PY'
import importlib.metadata, json, struct, sys
import numpy as np
from safetensors.numpy import load_file

print("safetensors", importlib.metadata.version("safetensors"))
data = np.array([1.5, -2.0], dtype="<f4")
for name, header in {
    "as described": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
    "null metadata": {"__metadata__": None, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
    "entry as a list": {"a": ["F32", [2], [0, 8]]},
}.items():
    text = json.dumps(header).encode()
    with open(sys.argv[1], "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data.tobytes())
    got = load_file(sys.argv[1])["a"]
    print(f"{name}: read as {got.tolist()}")
    assert (got == data).all()
PY
