#!/bin/sh
# Everything that there is to measure on a graphics card, in one command: the cases of tests/golden in f32 and f16, and sdgen
# beside diffusers in f16 with models of full size and random weights, SD 1.5 at 512 and XL at 1024. Usage:
#
#   benches/gpu.sh FOLDER                # FOLDER keeps the models: 2.1 GB and 6.9 GB
#   FEATURES=flash-attn,cudnn CUDA_COMPUTE_CAP=90 benches/gpu.sh FOLDER
#   DEVICE=metal FEATURES=metal benches/gpu.sh FOLDER
#   DEVICE=cpu FEATURES= benches/gpu.sh FOLDER
#
# Needs Python with torch, diffusers and transformers (PYTHON names it) beside what a build needs (docs/gpu.md).
set -eu
models=${1:?usage: benches/gpu.sh FOLDER}
device=${DEVICE:-cuda}
features=${FEATURES-cudnn}
python=${PYTHON:-python3}
benches=$(cd "$(dirname "$0")" && pwd)
cd "$benches/.."
target=${CARGO_TARGET_DIR:-target}

cargo build --release --locked --features "$features"
"$target/release/sdgen" doctor --offline | head -5
for dtype in f32 f16; do
    echo "== cases in $dtype on $device: f32 within 2 of 255, f16 with 35 dB or more"
    SDGEN_TEST_DEVICE=$device SDGEN_TEST_DTYPE=$dtype cargo test --release --locked --features "$features" --test it -- \
        --nocapture every_case_is_the_picture_that_diffusers_draws || echo "FAILED in $dtype"
done
for case in sd15:512 sdxl:1024; do
    family=${case%:*} size=${case#*:}
    [ -e "$models/$family/model_index.json" ] || "$python" "$benches/full_size.py" "$family" "$models/$family"
    echo "== $family at $size beside diffusers, f16 on $device"
    compare() {
        "$python" "$benches/compare.py" "$target/release/sdgen" "$models/$family" --device "$device" --dtype f16 \
            --size "$size" "$@"
    }
    compare --steps 20 --calls 20
    compare --whole 20
done
