#!/usr/bin/env bash
# The gguf package says that a block of Q8_1 is 40 bytes; in ggml it is 36.
#
# The guess it breaks: the package's table of block sizes, from which readers work out where a tensor ends, is ggml's own.
# A Q8_1 block of ggml holds two half-precision numbers and 32 bytes (ggml-common.h, block_q8_1, held there by a
# static assertion); the package still counts two single-precision ones.
# Source: gguf 0.19.0, constants.py, GGML_QUANT_SIZES; run below.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q gguf==0.19.0
"$work/venv/bin/python" - <<'PY'
import importlib.metadata
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Kind

print("gguf", importlib.metadata.version("gguf"))
for kind, expected in ((Kind.Q8_0, (32, 2 + 32)), (Kind.Q8_1, (32, 4 + 4 + 32)), (Kind.Q5_1, (32, 2 + 2 + 4 + 16))):
    print(f"{kind.name}: numbers and bytes of a block {GGML_QUANT_SIZES[kind]}")
    assert GGML_QUANT_SIZES[kind] == expected
PY
