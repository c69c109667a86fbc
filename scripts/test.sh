#!/usr/bin/env bash
# Sets everything up on a fresh Debian or Ubuntu machine, builds with warnings as errors, and runs all tests. GPU tests run
# where there is a GPU and are listed as skipped elsewhere. Then, unless TATR_BRIEF is set, the same code without CUDA, by the
# tests of the program, and under the address and undefined-behaviour sanitizers, by the tests of its parts. Arguments go to
# the first ctest.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_packages.sh clang-format clang-tidy fonts-dejavu-core python3-matplotlib
scripts/install_packages.sh chromium || echo "No package chromium here: the tests of the HTML page may be skipped"
echo "Checking the format of the sources"
git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror
scripts/tidy.sh
scripts/build.sh ci
ctest --test-dir build-ci --output-on-failure --parallel "$(nproc)" "$@"
[ -z "${TATR_BRIEF:-}" ] || exit 0
TATR_TARGET=tatr-sim scripts/build.sh cpu
ctest --test-dir build-cpu --output-on-failure --parallel "$(nproc)" -R '^(cli|cli-sweep|cli-output)$'
TATR_TARGET=part-tests scripts/build.sh dev
ctest --test-dir build-dev --output-on-failure --parallel "$(nproc)" -L parts
