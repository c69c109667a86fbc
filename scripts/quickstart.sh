#!/usr/bin/env bash
# Sets everything up on a fresh Debian or Ubuntu machine and runs the main experiment, configs/documented.json.
# Arguments go to `tatr-sim run`. The text report is printed; the JSON result is kept in results/documented.json.
set -euo pipefail
cd "$(dirname "$0")/.."

TATR_TARGET=tatr-sim scripts/build.sh release  # without the tests, which take longer to build
mkdir -p results
echo "Running configs/documented.json"
echo
build/tatr-sim run configs/documented.json --json results/documented.json "$@"
echo
echo "The full result is in results/documented.json"
