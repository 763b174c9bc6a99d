#!/usr/bin/env bash
# Pillow 13 scales some pictures columns first; Pillow 12 scaled all of them rows first.
#
# The guess it breaks: `Image.resize` with a filter is a horizontal pass and then a vertical one, in every version, so that
# a file scaled today has last year's pixels. Each pass rounds to 8 bits, so the order shows: by up to tens of levels.
# The rule below was found by trial and holds for every shape drawn here: from W x H to w x h, columns come first where
# h < H and H - h > 2 (W - w); a portrait made into a landscape is such a picture.
# Source: src/libImaging/Resample.c of the two versions.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
for version in 12.3.0 13.0.0; do
    "$work/venv/bin/pip" install -q --target "$work/$version" "pillow==$version" numpy==2.3.5
done
cat > "$work/order.py" <<'PY'
import sys
import numpy as np, PIL
from PIL import Image

random = np.random.default_rng(0)
count = {"rows": 0, "columns": 0}
misfits, most = 0, 0
for _ in range(400):
    W, H, w, h = (int(n) for n in random.integers(20, 120, 4))
    picture = Image.fromarray(random.integers(0, 256, (H, W, 3), dtype=np.uint8))
    def scaled(picture, size):
        return picture.resize(size, Image.LANCZOS)
    whole = np.asarray(scaled(picture, (w, h))).astype(int)
    rows = np.asarray(scaled(scaled(picture, (w, H)), (w, h))).astype(int)
    columns = np.asarray(scaled(scaled(picture, (W, h)), (w, h))).astype(int)
    if (rows == columns).all():
        continue
    order = "rows" if (whole == rows).all() else "columns"
    assert order == "rows" or (whole == columns).all()
    expected = "columns" if sys.argv[1] == "13" and h < H and H - h > 2 * (W - w) else "rows"
    count[order] += 1
    misfits += order != expected
    most = max(most, abs(rows - columns).max())
print(f"Pillow {PIL.__version__}: rows first {count['rows']} times, columns first {count['columns']}, "
      f"against the rule {misfits}; the other order is off by up to {most} levels")
sys.exit(misfits > 0 or (count["columns"] > 0) != (sys.argv[1] == "13"))
PY
PYTHONPATH="$work/12.3.0" "$work/venv/bin/python" "$work/order.py" 12
PYTHONPATH="$work/13.0.0" "$work/venv/bin/python" "$work/order.py" 13
