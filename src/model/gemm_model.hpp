// The time of a grouped GEMM of gemm/sm90 on a GPU that need not be at hand: walks the items of the kernel's own
// scheduler in its order. docs/model.md derives it.
#pragma once

#include <cstdint>
#include <span>

#include "gemm/problem.hpp"
#include "model/gpu_model.hpp"

namespace tatr {

/// Milliseconds of one run. `rows` [E], of each expert. A GPU on which the kernel cannot run is taken for one where it
/// could.
double model_gemm_ms(const GpuModel& gpu, const GroupedGemmProblem& problem, std::span<const std::int32_t> rows);

/// Milliseconds of cuBLAS with as many rows for each expert, [E, each, k] x [E, n, k].
double model_uniform_gemm_ms(const GpuModel& gpu, const GroupedGemmProblem& problem, std::int64_t each);

}  // namespace tatr
