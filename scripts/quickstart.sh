#!/usr/bin/env bash
# Sets everything up on a fresh Debian or Ubuntu machine and runs the main experiment, configs/documented.json.
# Arguments go to `tatr-sim run`. The text report is printed; the JSON result is kept in results/documented.json.
# Without a GPU the CUDA back end, which takes most of the time to build, is left out, and the times of the layer are those
# of a modelled H100, the config's "model"; `--device cpu` measures the CPU.
set -euo pipefail
cd "$(dirname "$0")/.."

cuda=OFF
if nvidia-smi -L >/dev/null 2>&1; then cuda=ON; else echo "No GPU here: building without the CUDA back end"; fi
# Without the tests, which need more packages and take longer to build.
scripts/build.sh release -DTATR_CUDA=$cuda -DBUILD_TESTING=OFF
mkdir -p results
echo "Running configs/documented.json"
echo
build/tatr-sim run configs/documented.json --json results/documented.json "$@"
