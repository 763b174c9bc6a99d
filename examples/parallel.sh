#!/usr/bin/env bash
# GNU parallel: four processes on one machine share a batch and the cores.
set -eu
sdgen=${SDGEN:-sdgen}
batch=${1:-$(dirname "$0")/batch.toml}
parts=${PARTS:-4}
threads=$(( ($(nproc) + parts - 1) / parts ))
seq 0 $((parts - 1)) |
    parallel --halt soon,fail=1 "$sdgen" batch "$batch" --shard "{}/$parts" --threads "$threads" --quiet
