#!/usr/bin/env bash
# clang-tidy over the C++ files that the last commit changed (TATR_BASE: all since that commit), newest first, at most TIDY_FILES (16); or over
# the files named as arguments. Any finding fails. All files take ten minutes of two cores: git ls-files 'src/*.cpp' names them.
set -euo pipefail
cd "$(dirname "$0")/.."

changed() {
  local base
  base=$(git rev-parse --verify --quiet "${TATR_BASE:-HEAD~1}" || git rev-list --max-parents=0 HEAD | tail -n 1)
  git log --format= --name-only --diff-filter=d "$base..HEAD" -- 'src/*.cpp' 'apps/*.cpp' | awk '!seen[$0]++' |
    xargs -r ls -d 2>/dev/null | head -n "${TIDY_FILES:-16}"
}

files=("$@")
[ $# -gt 0 ] || mapfile -t files < <(changed)
checked=()
for file in "${files[@]}"; do
  case $file in
    *headers.cpp | src/core/version.cpp) ;;  # nothing of their own, or generated
    *) grep -q 'cuda_runtime_api.h\|cublas_v2.h\|cuda_handles.hpp' "$file" || checked+=("$file") ;;  # else it wants the CUDA toolkit
  esac
done
echo "Checking ${#checked[@]} files with clang-tidy"
[ ${#checked[@]} -eq 0 ] || printf '%s\n' "${checked[@]}" | xargs -P "$(nproc)" -I{} \
  clang-tidy --quiet --warnings-as-errors='*' {} -- -std=c++20 -Isrc -Iapps/tatr-sim -fopenmp 2>/dev/null
