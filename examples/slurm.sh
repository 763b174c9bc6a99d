#!/usr/bin/env bash
#SBATCH --job-name=sdgen
#SBATCH --array=0-7
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
# Eight machines share a batch: sbatch examples/slurm.sh jobs.toml
# Each task takes its part from SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT. A killed or requeued task continues
# where it stopped.
exec "${SDGEN:-sdgen}" batch "${1:-examples/batch.toml}" --progress plain
