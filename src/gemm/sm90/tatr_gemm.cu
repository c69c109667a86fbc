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

using Kernel = void (*)(sm90::GemmParams, sm90::GemmMaps);

struct Launch {
  Kernel kernel;
  std::size_t shared_bytes;
};

template <GemmTraits kTraits>
constexpr Launch launch_of() {
  using Config = GemmConfig<kTraits>;
  constexpr std::size_t kSharedBytes = sizeof(sm90::SharedStorage<Config>);
  static_assert(kSharedBytes <= 227 * 1024);
  return {sm90::sm90_bf16_grouped_gemm<Config>, kSharedBytes};
}

/// The kernel of those traits, of all that are compiled.
template <GemmTraits... kAll>
Launch launch_among(const GemmTraits& traits) {
  Launch found{};
  ((kAll == traits ? (found = launch_of<kAll>(), true) : false) || ...);
  if (found.kernel == nullptr) throw CudaError("no kernel is compiled for the plan");
  return found;
}

Launch launch_of(const TatrPlan& plan) {
  using enum Operands;
  using enum Epilogue;
  constexpr Schedule kTogether = Schedule::kCooperative, kInTurn = Schedule::kPingPong;
  return launch_among<
      GemmTraits{kForward, false, kStore, kTogether}, GemmTraits{kForward, false, kStore, kInTurn},
      GemmTraits{kForward, true, kStore, kTogether}, GemmTraits{kForward, false, kSwiglu, kTogether},
      GemmTraits{kForward, true, kSwiglu, kTogether}, GemmTraits{kForward, false, kSwigluKeep, kTogether},
      GemmTraits{kForward, true, kSwigluKeep, kTogether}, GemmTraits{kDataGradient, false, kStore, kTogether},
      GemmTraits{kDataGradient, false, kStore, kInTurn}, GemmTraits{kDataGradient, true, kStore, kTogether},
      GemmTraits{kDataGradient, false, kSwigluGradient, kTogether},
      GemmTraits{kDataGradient, true, kSwigluGradient, kTogether},
      GemmTraits{kWeightGradient, true, kStore, kTogether, false, false},
      GemmTraits{kWeightGradient, true, kStore, kTogether, false, true},
      GemmTraits{kWeightGradient, true, kStore, kTogether, true, false},
      GemmTraits{kWeightGradient, true, kStore, kTogether, true, true}>(traits_of(plan));
}

using EncodeTiled = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                                 const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                                 CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

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

/// Of a row-major bf16 array under the 128-byte swizzle: its sizes and those of the box that a copy brings, fastest
/// dimension first. A box is 64 elements wide.
template <std::size_t kRank>
CUtensorMap encode_map(const void* data, std::array<std::int64_t, kRank> sizes, std::array<std::int32_t, kRank> box_of,
                       const char* what) {
  std::array<cuuint64_t, kRank> extents, strides;
  std::array<cuuint32_t, kRank> box, steps;
  cuuint64_t stride = sizeof(__nv_bfloat16);
  for (std::size_t i = 0; i < kRank; ++i) {
    extents[i] = static_cast<cuuint64_t>(std::max<std::int64_t>(sizes[i], 1));
    stride *= extents[i];
    strides[i] = stride;  // of dimension i + 1; the last one is not read
    box[i] = static_cast<cuuint32_t>(box_of[i]);
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
  return map;
}

CUtensorMap encode_weights(const TatrPlan& plan, const TatrBuffers& buffers) {
  const TatrProblem& problem = plan.problem;
  switch (problem.kind) {
    case GemmKind::kDataGradient:
      return encode_map<3>(buffers.weights, {problem.n, problem.k, problem.experts}, {kLoadColumns, kBlockDepth, 1},
                           "the weights");
    case GemmKind::kWeightGradient:
      return encode_map<3>(buffers.weights, {problem.k, problem.rows_bound, 1}, {kLoadColumns, kBlockDepth, 1}, "W");
    default:
      return encode_map<3>(buffers.weights, {problem.k, problem.n, problem.experts},
                           {kBlockDepth, load_rows_b(plan.schedule), 1}, "the weights");
  }
}

sm90::GemmMaps encode_maps(const TatrPlan& plan, const TatrBuffers& buffers) {
  const TatrProblem& problem = plan.problem;
  const std::int64_t rows = problem.rows_bound, outputs = outputs_of(problem), experts = problem.experts;
  sm90::GemmMaps maps{};
  maps.b = encode_weights(plan, buffers);
  if (problem.kind == GemmKind::kWeightGradient) {
    if (problem.gradient == DType::kFp32) return maps;
    const std::int64_t width = problem.transpose ? problem.n : problem.k, height = problem.n + problem.k - width;
    maps.c = encode_map<3>(buffers.c, {width, height, experts}, {64, 64, 1}, "C");
    return maps;
  }
  if (!problem.gather) maps.a = encode_map<2>(buffers.a, {problem.k, rows}, {kBlockDepth, kLoadRowsA}, "A");
  if (problem.swiglu_gradient) return maps;  // stored by ordinary means
  maps.c = encode_map<2>(buffers.c, {outputs, rows}, {64, 64}, "C");
  if (problem.keep) maps.product = encode_map<3>(buffers.product, {outputs, 2, rows}, {64, 1, 64}, "the product");
  return maps;
}

sm90::GemmParams make_params(const TatrPlan& plan, const TatrBuffers& buffers) {
  const TatrProblem& problem = plan.problem;
  const bool reduces_rows = problem.kind == GemmKind::kWeightGradient;
  sm90::GemmParams params{};
  params.grid.experts = problem.experts;
  params.grid.column_tiles = column_tiles_of(plan);
  params.grid.granule_rows = reduces_rows ? static_cast<std::int32_t>(problem.n) : plan.granule_rows;
  params.grid.band_pairs = plan.band_pairs;
  params.grid.granule_of_expert = buffers.granules;
  params.offsets = buffers.offsets;
  params.queue = buffers.queue;
  params.c = buffers.c;
  params.output_columns = static_cast<std::int32_t>(outputs_of(problem));
  params.output_rows = static_cast<std::int32_t>(problem.n);
  params.up_row = static_cast<std::int32_t>(problem.n / 2);
  params.k = static_cast<std::int32_t>(problem.k);
  params.k_stagger = plan.k_stagger;
  params.x = static_cast<const __nv_bfloat16*>(buffers.a);
  params.token_index = problem.gather ? buffers.token_index : nullptr;
  params.product = static_cast<__nv_bfloat16*>(buffers.product);
  params.gate = buffers.gate;
  params.weighted = static_cast<__nv_bfloat16*>(buffers.weighted);
  params.gate_gradient = column_tiles_of(plan) > 1 ? buffers.gate_parts : buffers.gate_gradient;
  params.rows_bound = static_cast<std::int32_t>(problem.rows_bound);
  params.prefetch = plan.prefetch;
  return params;
}

/// gate_gradient[r] = the parts of row r, added up in their order.
__global__ void add_parts(const float* parts, std::int32_t count, std::int64_t rows_bound, const std::int32_t* rows,
                          float* gate_gradient) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= *rows) return;
  float sum = 0.0f;
  for (std::int32_t i = 0; i < count; ++i) sum += parts[i * rows_bound + row];
  gate_gradient[row] = sum;
}

}  // namespace

TatrGemm::TatrGemm(const TatrPlan& plan, const TatrBuffers& buffers) : plan_(plan), buffers_(buffers) {
  const sm90::GemmMaps maps = encode_maps(plan, buffers);
  static_assert(sizeof maps == kMapsBytes);
  std::memcpy(maps_, &maps, sizeof maps);
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
  const Launch launch = launch_of(plan_);
  config.blockDim = dim3(kGemmThreads);
  config.dynamicSmemBytes = launch.shared_bytes;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  sm90::GemmMaps maps;
  std::memcpy(&maps, maps_, sizeof maps);
  TATR_CUDA_CHECK(cudaLaunchKernelEx(&config, launch.kernel, make_params(plan_, buffers_), maps));
  const TatrProblem& problem = plan_.problem;
  if (!problem.swiglu_gradient || column_tiles_of(plan_) == 1 || problem.rows_bound == 0) return;
  const std::int64_t blocks = ceil_div<std::int64_t>(problem.rows_bound, 256);
  add_parts<<<static_cast<unsigned>(blocks), 256, 0, stream>>>(buffers_.gate_parts, column_tiles_of(plan_),
                                                               problem.rows_bound, buffers_.offsets + problem.experts,
                                                               buffers_.gate_gradient);
  TATR_CHECK_LAUNCH(add_parts);
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
