#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string>

#include "device/cuda_check.hpp"
#include "gemm/sm90/sm90_bf16_grouped_gemm.cuh"
#include "gemm/sm90/tatr_gemm.hpp"
#include "gemm/sm90/wait_log.hpp"

namespace tatr {
namespace {

using Kernel = void (*)(sm90::GemmParams, CUtensorMap, CUtensorMap, CUtensorMap);

struct Launch {
  Kernel kernel;
  std::size_t shared_bytes;
};

template <class Config>
constexpr Launch launch_of() {
  constexpr std::size_t kSharedBytes = sizeof(sm90::SharedStorage<Config>);
  static_assert(kSharedBytes <= 227 * 1024);
  return {sm90::sm90_bf16_grouped_gemm<Config>, kSharedBytes};
}

Launch launch_of(const TatrPlan& plan) {
  const TatrProblem& problem = plan.problem;
  if (plan.schedule == Schedule::kPingPong) return launch_of<GemmConfig<false, false, Schedule::kPingPong>>();
  if (problem.gather) {
    return problem.swiglu ? launch_of<GemmConfig<true, true>>() : launch_of<GemmConfig<true, false>>();
  }
  return problem.swiglu ? launch_of<GemmConfig<false, true>>() : launch_of<GemmConfig<false, false>>();
}

using EncodeTiled = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                                 const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                                 CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

std::int64_t outputs_of(const TatrProblem& problem) { return problem.swiglu ? problem.n / 2 : problem.n; }

/// From the driver at run time: nothing links to libcuda, so the program also starts where there is none.
EncodeTiled encode_tiled() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  TATR_CUDA_CHECK(
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found));
  if (found != cudaDriverEntryPointSuccess)
    throw CudaError("the driver has no cuTensorMapEncodeTiled (CUDA 12 or newer)");
  return reinterpret_cast<EncodeTiled>(function);
}

/// Of a row-major bf16 array, fastest dimension first, under the 128-byte swizzle: a box is 64 elements wide.
template <std::size_t kRank>
void encode_map(std::byte* target, const void* data, std::array<std::int64_t, kRank> sizes, int box_rows,
                const char* what) {
  std::array<cuuint64_t, kRank> extents, strides;
  std::array<cuuint32_t, kRank> box, steps;
  cuuint64_t stride = sizeof(__nv_bfloat16);
  for (std::size_t i = 0; i < kRank; ++i) {
    extents[i] = static_cast<cuuint64_t>(std::max<std::int64_t>(sizes[i], 1));
    stride *= extents[i];
    strides[i] = stride;  // of dimension i + 1; the last one is not read
    box[i] = i == 0 ? 64 : i == 1 ? static_cast<cuuint32_t>(box_rows) : 1;
    steps[i] = 1;
  }
  CUtensorMap map;
  const CUresult status =
      encode_tiled()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, kRank, const_cast<void*>(data), extents.data(),
                     strides.data(), box.data(), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
                     CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw CudaError(std::string("cuTensorMapEncodeTiled failed for ") + what + ": error " + std::to_string(status));
  }
  static_assert(sizeof(map) == 128);
  std::memcpy(target, &map, sizeof(map));
}

sm90::GemmParams make_params(const TatrPlan& plan, const TatrBuffers& buffers) {
  const TatrProblem& problem = plan.problem;
  const auto outputs = static_cast<std::int32_t>(outputs_of(problem));
  sm90::GemmParams params{};
  params.grid.experts = problem.experts;
  params.grid.column_tiles = ceil_div(outputs, block_columns(plan.schedule) / (problem.swiglu ? 2 : 1));
  params.grid.granule_rows = plan.granule_rows;
  params.grid.band_pairs = plan.band_pairs;
  params.grid.granule_of_expert = buffers.granules;
  params.offsets = buffers.offsets;
  params.queue = buffers.queue;
  params.c = static_cast<__nv_bfloat16*>(buffers.c);
  params.output_columns = outputs;
  params.up_row = static_cast<std::int32_t>(problem.n / 2);
  params.k = static_cast<std::int32_t>(problem.k);
  params.k_stagger = plan.k_stagger;
  params.x = static_cast<const __nv_bfloat16*>(buffers.a);
  params.token_index = buffers.token_index;
  return params;
}

CUtensorMap tensor_map(const std::byte* bytes) {
  CUtensorMap map;
  std::memcpy(&map, bytes, sizeof(map));
  return map;
}

}  // namespace

TatrGemm::TatrGemm(const TatrPlan& plan, const TatrBuffers& buffers) : plan_(plan), buffers_(buffers) {
  const TatrProblem& problem = plan.problem;
  // A gathered A is not read through its map: any array will do.
  encode_map<2>(map_a_, problem.gather ? buffers.c : buffers.a, {problem.k, problem.gather ? 1 : problem.rows_bound},
                kLoadRowsA, "A");
  encode_map<3>(map_b_, buffers.weights, {problem.k, problem.n, problem.experts}, load_rows_b(plan.schedule),
                "the weights");
  encode_map<2>(map_c_, buffers.c, {outputs_of(problem), problem.rows_bound}, 64, "C");
  const Launch launch = launch_of(plan);
  TATR_CUDA_CHECK(cudaFuncSetAttribute(launch.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(launch.shared_bytes)));
}

void TatrGemm::launch(CUstream_st* stream) const {
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {kCluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(plan_.clusters * kCluster));
  config.blockDim = dim3(kGemmThreads);
  const Launch launch = launch_of(plan_);
  config.dynamicSmemBytes = launch.shared_bytes;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  TATR_CUDA_CHECK(cudaLaunchKernelEx(&config, launch.kernel, make_params(plan_, buffers_), tensor_map(map_a_),
                                     tensor_map(map_b_), tensor_map(map_c_)));
}

#if defined(TATR_WATCH_WAITS)
namespace {
ptx::LongWaits* waits_on_host = nullptr;
}

void start_wait_log() {
  TATR_CUDA_CHECK(cudaHostAlloc(&waits_on_host, sizeof(ptx::LongWaits), cudaHostAllocMapped));
  waits_on_host->count = 0;
  ptx::LongWaits* on_device = nullptr;
  TATR_CUDA_CHECK(cudaHostGetDevicePointer(&on_device, waits_on_host, 0));
  TATR_CUDA_CHECK(cudaMemcpyToSymbol(ptx::long_waits, &on_device, sizeof on_device));
}

std::string long_waits() {
  const std::uint32_t count = std::min(waits_on_host->count, ptx::LongWaits::kRoom);
  std::string text;
  for (std::uint32_t i = 0; i < count; ++i) {
    const ptx::LongWait& wait = waits_on_host->waits[i];
    char line[160];
    std::snprintf(line, sizeof line, "  block %u warp %u lane %u: barrier 0x%x, parity %u, holds 0x%016llx\n",
                  wait.block, wait.thread / 32, wait.thread % 32, wait.barrier, wait.parity,
                  static_cast<unsigned long long>(wait.state));
    text += line;
  }
  return text;
}
#else
void start_wait_log() {}
std::string long_waits() { return "  (a build with TATR_WATCH_WAITS tells where each warp waits)\n"; }
#endif

TatrDevice current_tatr_device() {
  int device = 0, major = 0, minor = 0, multiprocessors = 0;
  TATR_CUDA_CHECK(cudaGetDevice(&device));
  TATR_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  TATR_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  TATR_CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  return {major * 10 + minor, multiprocessors};
}

}  // namespace tatr
