#!/usr/bin/env bash
# Sets everything up on a fresh Debian or Ubuntu machine, builds with warnings as errors, and runs all tests. GPU tests run
# where there is a GPU and are listed as skipped elsewhere. Arguments go to ctest.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_packages.sh clang-format fonts-dejavu-core python3-matplotlib
scripts/install_packages.sh chromium || echo "No package chromium here: the tests of the HTML page may be skipped"
echo "Checking the format of the sources"
git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror
scripts/build.sh ci
ctest --test-dir build-ci --output-on-failure --parallel "$(nproc)" "$@"
