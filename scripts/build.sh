#!/usr/bin/env bash
# Configures and builds a preset: build.sh PRESET [CMAKE_OPTION…]. Installs the packages that it needs first. With
# TATR_TARGET, only those targets are built. Says how far it is and the time left (scripts/follow.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/follow.sh

preset=${1:-release}
shift || true
scripts/install_packages.sh
# nvcc is often installed but not on the PATH.
if ! command -v nvcc >/dev/null && [ -x /usr/local/cuda/bin/nvcc ]; then export PATH=$PATH:/usr/local/cuda/bin; fi
# Debian's Python, for which the packages are, though another may come first on the PATH.
python=()
[ ! -x /usr/bin/python3 ] || python=(-DPython3_EXECUTABLE=/usr/bin/python3)
folder=build
[ "$preset" = release ] || folder=build-$preset
# Ninja in a folder that no other generator has begun; compilers behind ccache where it is there.
generator=()
[ -e "$folder/CMakeCache.txt" ] || generator=(-G Ninja)
launcher=()
export CCACHE_SLOPPINESS=pch_defines,time_macros  # else nothing with precompiled headers is kept
! command -v ccache >/dev/null || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Building preset '$preset' in $folder/ (a first build takes some minutes)"
build() {
  cmake --preset "$preset" "${generator[@]}" "${launcher[@]}" "${python[@]}" "$@" &&
    cmake --build "$folder" --parallel "$(nproc)" --target ${TATR_TARGET:-all}
}
if ! follow "Building" "$log" build "$@"; then
  echo "The build failed; the end of its log:" >&2
  tail -n 40 "$log" >&2
  exit 3
fi
