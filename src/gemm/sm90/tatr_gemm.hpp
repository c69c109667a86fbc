// The project's own grouped GEMM for Hopper GPUs, as the host sees it. How it runs is the plan's business
// (tatr_plan.hpp); this binds a plan to buffers and launches it. Neither allocates device memory; a launch may be
// captured in a CUDA graph.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm/sm90/tatr_plan.hpp"

struct CUstream_st;

namespace tatr {

/// Device buffers, all 16-byte aligned, bf16 unless said otherwise, row-major: those of GroupedGemmData
/// (gemm/problem.hpp). Nothing is owned. A gathered array stays below 64 GiB.
struct TatrBuffers {
  const void* a = nullptr;
  const std::int32_t* token_index = nullptr;  // only with gather
  const void* weights = nullptr;              // of a weight gradient, what A is multiplied with
  const std::int32_t* offsets = nullptr;      // [experts + 1]; rows of expert e are offsets[e] to offsets[e + 1] - 1
  void* c = nullptr;
  std::int32_t* queue =
      nullptr;  // [2]: zeros before the first launch, and again after each. Not for launches that may overlap
  const std::int32_t* granules =
      nullptr;                  // [experts] 64, 128 or 256 each, or 0: leave it out; null: the plan's for all
  void* product = nullptr;      // keep, swiglu_gradient
  const float* gate = nullptr;  // swiglu_gradient, as all below
  void* weighted = nullptr;
  float* gate_gradient = nullptr;
  float* gate_parts = nullptr;  // [column_tiles_of(plan), rows_bound], where that is more than one
};

/// A plan with its buffers. Cheap to copy; stays valid while the buffers do, whatever is written to them, offsets
/// included.
class TatrGemm {
 public:
  /// For the current device. Throws CudaError, also where a buffer is not aligned.
  TatrGemm(const TatrPlan& plan, const TatrBuffers& buffers);

  /// Rows of C that belong to no expert are left as they are. Throws CudaError.
  void launch(CUstream_st* stream) const;

  const TatrPlan& plan() const { return plan_; }

 private:
  static constexpr std::size_t kMapsBytes = 4 * 128;  // sm90::GemmMaps, which needs CUDA's headers
  TatrPlan plan_;
  TatrBuffers buffers_;
  alignas(64) std::byte maps_[kMapsBytes] = {};
};

/// What make_plan must know of the current device. Throws CudaError.
TatrDevice current_tatr_device();

}  // namespace tatr
