// The project's own grouped GEMM for Hopper GPUs, as the host sees it. How it runs is the plan's business
// (tatr_plan.hpp); this binds a plan to buffers and launches it. Neither allocates device memory; a launch may be
// captured in a CUDA graph.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gemm/sm90/tatr_plan.hpp"

struct CUstream_st;

namespace tatr {

/// Device buffers, all 16-byte aligned; bf16 unless said otherwise, row-major. Nothing is owned.
struct TatrBuffers {
  const void* a = nullptr;                    // [rows_bound, k]; with gather [tokens, k], below 64 GiB
  const std::int32_t* token_index = nullptr;  // [rows_bound]; only with gather
  const void* weights = nullptr;              // [experts, n, k]
  const std::int32_t* offsets = nullptr;      // [experts + 1]; rows of expert e are offsets[e] to offsets[e + 1] - 1
  void* c = nullptr;                          // [rows_bound, n]; with swiglu [rows_bound, n / 2]
  std::int32_t* queue =
      nullptr;  // [2]: zeros before the first launch, and again after each. Not for launches that may overlap
  const std::int32_t* granules =
      nullptr;  // [experts] 64, 128 or 256 each, or 0: leave it out; null: the plan's for all
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
  static constexpr std::size_t kTensorMapBytes = 128;
  TatrPlan plan_;
  TatrBuffers buffers_;
  alignas(64) std::byte map_a_[kTensorMapBytes];
  alignas(64) std::byte map_b_[kTensorMapBytes];
  alignas(64) std::byte map_c_[kTensorMapBytes];
};

/// What make_plan must know of the current device. Throws CudaError.
TatrDevice current_tatr_device();

}  // namespace tatr
