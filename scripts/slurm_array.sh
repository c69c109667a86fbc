#!/usr/bin/env bash
# A sweep as a Slurm job array, one shard a task: sbatch --array=1-8 scripts/slurm_array.sh FOLDER CONFIG… [RUN_OPTION…]
# Each task writes FOLDER/shard-I.jsonl; a task that is requeued or submitted again goes on where it stopped. Afterwards:
# tatr-sim merge FOLDER/shard-*.jsonl --jsonl FOLDER/all.jsonl. TATR_SIM names the program where it is not on the PATH.
#SBATCH --job-name=tatr-sim
#SBATCH --gpus-per-task=1
#SBATCH --requeue
set -euo pipefail

folder=$1
shift
mkdir -p "$folder"
exec "${TATR_SIM:-tatr-sim}" run "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --resume \
  --jsonl "$folder/shard-$SLURM_ARRAY_TASK_ID.jsonl"
