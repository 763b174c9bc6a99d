#!/usr/bin/env bash
# torch.randn in f16 on the processor draws the numbers of f32, rounded, except for the last sixteen.
#
# The guess it breaks: noise of one seed is the same picture's noise in half precision as in single, up to rounding. It is
# where the count is a multiple of 16. Elsewhere the last 16 numbers are drawn again from other random bits, so that the
# lower right corner of such a latent starts from other noise, by more than a standard deviation.
# Source: aten/src/ATen/native/cpu/DistributionTemplates.h, normal_fill, and its scalar and vector forms; run below.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.15.0 numpy==2.3.5
"$work/venv/bin/python" - <<'PY'
import torch

print("torch", torch.__version__)
for shape in [(1, 4, 16, 16), (1, 4, 24, 24), (1, 4, 17, 19), (1, 4, 9, 9)]:
    single = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    half = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float16).float()
    other = ((single - half).abs().flatten() > 0.01).nonzero().flatten()
    n = single.numel()
    where = f"from {int(other[0])} of {n}" if len(other) else "nowhere"
    print(f"{shape}: {n} numbers, {n % 16} over a multiple of 16; others {where}, by up to {(single - half).abs().max():.3f}")
    assert (len(other) == 0) == (n % 16 == 0)
    assert len(other) == 0 or n - 16 <= int(other[0])
PY
