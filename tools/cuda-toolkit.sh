#!/usr/bin/env bash
# Puts the parts of the CUDA toolkit that a build with `--features cuda` needs into a folder, from the Python wheels that
# NVIDIA publishes; neither a GPU nor a driver is needed. Usage:
#
#   tools/cuda-toolkit.sh DIR            # about 1.5 GB
#   tools/cuda-toolkit.sh DIR cudnn      # with cuDNN for `--features cudnn`, about 1 GB more
#   export CUDA_HOME=DIR PATH=DIR/bin:$PATH LIBRARY_PATH=DIR/lib64:DIR/lib64/stubs CUDA_COMPUTE_CAP=90
#   cargo build --release --features cuda
#
set -euo pipefail
target=${1:?usage: tools/cuda-toolkit.sh DIR [cudnn]}
case "${2-}" in
'') cudnn=() ;;
cudnn) cudnn=("nvidia-cudnn-cu13==9.*") ;;
*) echo "usage: tools/cuda-toolkit.sh DIR [cudnn]" >&2; exit 2 ;;
esac
version=13.0
[ -e "$target" ] && { echo "\`$target\` is there already" >&2; exit 2; }
command -v gcc >/dev/null || { echo "gcc is missing; nvcc needs a host compiler" >&2; exit 2; }

wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
python3 -m pip download --quiet --no-deps --dest "$wheels" \
    "nvidia-cuda-nvcc==$version.*" "nvidia-cuda-crt==$version.*" "nvidia-nvvm==$version.*" "nvidia-cuda-cccl==$version.*" \
    "nvidia-cuda-runtime==$version.*" "nvidia-cuda-nvrtc==$version.*" "nvidia-cublas==$version.*" "nvidia-curand==10.4.0.*" \
    "${cudnn[@]}"
for wheel in "$wheels"/*.whl; do python3 -m zipfile -e "$wheel" "$wheels/all"; done
mkdir -p "$(dirname "$target")"
mv "$wheels/all/nvidia/cu13" "$target"
chmod -R u+x "$target/bin" "$target/nvvm/bin"
if [ -d "$wheels/all/nvidia/cudnn" ]; then cp -r "$wheels/all/nvidia/cudnn"/{include,lib} "$target"; fi

# Wheels carry libNAME.so.N alone; the linker looks for libNAME.so, and cargo's build scripts for lib64.
ln -s lib "$target/lib64"
for library in "$target"/lib/lib*.so.*; do
    name=${library##*/}
    ln -sf "$name" "$target/lib/${name%%.so.*}.so"
done
# The driver's library comes with the driver. One whose functions all answer that there is no device (100) is enough to
# link, and to start the program where there is no driver: LD_LIBRARY_PATH=DIR/lib:DIR/lib/stubs sdgen ...
mkdir -p "$target/lib/stubs"
grep -ohE '\bcu[A-Z][A-Za-z0-9]*(_v[0-9]+)?(_ptsz|_ptds)?\b' "$target"/include/cuda.h | sort -u |
    sed 's/.*/int &(void) { return 100; }/' |
    gcc -shared -x c - -w -Wl,-soname,libcuda.so.1 -o "$target/lib/stubs/libcuda.so.1"
ln -s libcuda.so.1 "$target/lib/stubs/libcuda.so"
"$target/bin/nvcc" --version | tail -1
