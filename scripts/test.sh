#!/usr/bin/env bash
# Sets everything up on a fresh Debian or Ubuntu machine, builds with warnings as errors, and runs all tests. GPU tests run
# where there is a GPU and are listed as skipped elsewhere. For what the last commit can affect (TATR_BASE: all since that commit;
# TATR_ALL=1: everything), also: headers alone, the program's tests without CUDA, and the parts' tests under the address and
# undefined-behaviour sanitizers. Arguments go to the first ctest.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_packages.sh clang-format clang-tidy fonts-dejavu-core python3-matplotlib
scripts/install_packages.sh chromium || echo "No package chromium here: the tests of the HTML page may be skipped"
echo "Checking the format of the sources"
git ls-files '*.cpp' '*.hpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror
scripts/tidy.sh
scripts/build.sh ci
base=${TATR_BASE:-HEAD~1}
[ -z "${TATR_ALL:-}" ] || base=none
TATR_HEADERS_SINCE=$base ctest --test-dir build-ci --output-on-failure --parallel "$(nproc)" "$@"

affected=$(python3 scripts/affected.py "$base")
if grep -qx cuda-free <<<"$affected"; then
  TATR_TARGET=tatr-sim scripts/build.sh cpu
  ctest --test-dir build-cpu --output-on-failure --parallel "$(nproc)" -R '^(cli|cli-sweep|cli-output)$'
fi
parts=$(grep -vx 'cuda-free\|records-only' <<<"$affected" || true)
if [ -n "$parts" ]; then
  echo "Under sanitizers: ${parts//$'\n'/, }"
  preset=dev
  ! grep -qx records-only <<<"$affected" || preset=dev-records
  TATR_TARGET=$(sed 's/$/-tests/' <<<"$parts" | paste -sd ' ') scripts/build.sh "$preset"
  ctest --test-dir "build-$preset" --output-on-failure --parallel "$(nproc)" -R "^($(paste -sd '|' <<<"$parts"))\$"
fi
