#!/bin/sh
# Checks the code of the CUDA features where there is no CUDA: a stand-in for its compiler leaves the kernels empty, which
# is enough as long as nothing is linked. Usage: tools/cuda-check.sh [FEATURES]; `flash-attn` fetches CUTLASS from GitHub.
set -eu
features=${1:-cudnn}
kit=$(mktemp -d)
trap 'rm -rf "$kit"' EXIT
mkdir "$kit/bin" "$kit/include"
printf '#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 14\n#define CUDNN_PATCHLEVEL 0\n' > "$kit/include/cudnn_version.h"
cat > "$kit/bin/nvcc" <<'END'
#!/bin/sh
case "$1" in
--version) printf 'nvcc: a stand-in\n\n\nCuda compilation tools, release 13.0, V13.0.0\n'; exit ;;
--list-gpu-code) printf 'sm_80\nsm_90\n'; exit ;;
esac
while [ $# -gt 0 ]; do
    case "$1" in
    -o) out=$2; shift ;;
    --output-directory) folder=$2; shift ;;
    *) last=$1 ;;
    esac
    shift
done
: > "${out:-$folder/$(basename "$last" .cu).ptx}"
END
chmod +x "$kit/bin/nvcc"
export CUDA_HOME="$kit" CUDA_PATH="$kit" PATH="$kit/bin:$PATH" CUDA_COMPUTE_CAP=90
cargo clippy --all-targets --locked --features "$features" -- -D warnings
