#!/usr/bin/env bash
# Fuzzes the readers of configs and traces with libFuzzer under the address and undefined-behaviour sanitizers:
# fuzz.sh [SECONDS_EACH]. Exit code 0: nothing found. What is found is kept in build-fuzz/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
scripts/install_packages.sh clang-14 libclang-rt-14-dev
mkdir -p build-fuzz/corpus-config build-fuzz/corpus-trace
cmake -DINPUT=src/config/experiment.schema.json -DOUTPUT=build-fuzz/experiment_schema.cpp -DNAME=kExperimentSchema \
  -DHEADER=config/schema.hpp -P src/core/embed.cmake
build() {  # build NAME SOURCE…
  clang++-14 -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Isrc -DFMT_HEADER_ONLY \
    -o "build-fuzz/fuzz-$1" "tests/fuzz/fuzz_$1.cpp" "${@:2}"
}
echo "Building the fuzz targets"
traces=(src/core/output_file.cpp src/router/{trace,trace_file,safetensors,npy,tensor_file}.cpp)
build config src/config/{json_text,overrides,read,schema_walk,sweep,validate}.cpp build-fuzz/experiment_schema.cpp &
build trace "${traces[@]}"
wait $!
cp -n configs/*.json configs/models/*.json build-fuzz/corpus-config/
echo "Fuzzing configs and traces, $seconds s each"
failed=0
for target in config trace; do
  build-fuzz/fuzz-$target -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -artifact_prefix=build-fuzz/$target- \
    build-fuzz/corpus-$target >build-fuzz/$target.log 2>&1 &
  pids[$failed]=$!
  failed=$((failed + 1))
done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
for target in config trace; do echo "$target: $(grep -E '^(Done|==|SUMMARY)' build-fuzz/$target.log | tail -n 1)"; done
exit $failed
