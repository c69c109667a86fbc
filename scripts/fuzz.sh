#!/usr/bin/env bash
# Fuzzes the readers of configs, files of arrays, counts and traces with libFuzzer under the address and undefined-behaviour
# sanitizers; what the readers of counts and traces let through is rounded. Seeds are tests/fuzz/corpus/ and configs/.
# fuzz.sh [SECONDS_EACH]. Exit code 0: nothing found. What is found is kept in build-fuzz/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
scripts/install_packages.sh clang-14 libclang-rt-14-dev libomp-14-dev
mkdir -p build-fuzz/{config,counts,tensors,trace} build-fuzz/corpus-{config,counts,tensors,trace}
cmake -DINPUT=src/config/experiment.schema.json -DOUTPUT=build-fuzz/schema_text.cpp -DNAME=kExperimentSchema \
  -DHEADER=json/embedded.hpp -P src/core/embed.cmake

flags=(-std=c++20 -O1 -g -fopenmp -ffp-contract=off -fno-omit-frame-pointer -DFMT_HEADER_ONLY -D_GLIBCXX_ASSERTIONS
  -DTHRUST_HOST_SYSTEM=THRUST_HOST_SYSTEM_CPP -DTHRUST_DEVICE_SYSTEM=THRUST_DEVICE_SYSTEM_OMP -Isrc -Itests
  -fsanitize=fuzzer,address,undefined,float-divide-by-zero,float-cast-overflow -fno-sanitize-recover=all
  -fno-sanitize=null)  # Thrust binds references to null policies, which it never reads
json=(src/json/json_text.cpp)
config=("${json[@]}" src/json/{schema_walk,validate}.cpp src/config/{experiment_schema,overrides,read,source_fields,sweep}.cpp build-fuzz/schema_text.cpp)
tensors=("${json[@]}" src/core/output_file.cpp src/formats/*.cpp)
routing=("${tensors[@]}" src/core/memory.cpp src/device/system.cpp src/router/row.cpp src/router/routing.cu
  src/rounding/expert_metrics.cpp src/rounding/rounding.cu src/source/{element,names,record_files,record_view,trace_layers}.cpp)
trace=("${routing[@]}" src/core/digest.cpp src/source/{probabilities,trace,trace_values}.cpp)
counts=("${routing[@]}" src/core/digest.cpp src/rounding/count_rounding.cu src/source/counts.cpp)
compile() {  # compile FOLDER SOURCE: .cu files without nvcc are C++
  clang++-14 "${flags[@]}" -x c++ -c -o "build-fuzz/$1/$(basename "$2").o" "$2"
}
build() {  # build NAME SOURCE…, each source by itself, as many at once as there are cores
  local source
  for source in "tests/fuzz/fuzz_$1.cpp" "${@:2}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    compile "$1" "$source" &
  done
  while [ -n "$(jobs -rp)" ]; do wait -n; done
  clang++-14 "${flags[@]}" -o "build-fuzz/fuzz-$1" build-fuzz/"$1"/*.o -larchive -lz
}
echo "Building the fuzz targets"
build config "${config[@]}"
build counts "${counts[@]}"
build tensors "${tensors[@]}"
build trace "${trace[@]}"
cp -n tests/fuzz/corpus/config/* configs/*.json configs/models/*.json build-fuzz/corpus-config/
cp -n tests/fuzz/corpus/counts/* build-fuzz/corpus-counts/
cp -n tests/fuzz/corpus/tensors/* build-fuzz/corpus-tensors/
cp -n tests/fuzz/corpus/trace/* build-fuzz/corpus-trace/
echo "Fuzzing configs, files of arrays, counts and traces, $seconds s each"
pids=()
for target in config counts tensors trace; do
  OMP_NUM_THREADS=1 build-fuzz/fuzz-$target -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 \
    -artifact_prefix=build-fuzz/$target- build-fuzz/corpus-$target >build-fuzz/$target.log 2>&1 &
  pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
for target in config counts tensors trace; do echo "$target: $(grep -E '^(Done|==|SUMMARY)' build-fuzz/$target.log | tail -n 1)"; done
exit $failed
