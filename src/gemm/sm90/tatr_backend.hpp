// The project's own Hopper kernel (tatr_gemm.hpp) behind the interface of all back ends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "gemm/grouped_gemm.hpp"
#include "gemm/problem.hpp"

namespace tatr {

/// Compute capability 9.0, bf16, and shapes that tatr_plan.hpp allows, at every expert's tile.
std::string why_not_tatr(const GroupedGemmProblem& problem, const DeviceInfo& device);

std::unique_ptr<GroupedGemm> make_tatr_backend(System& system, const GroupedGemmProblem& problem,
                                               const std::vector<std::int32_t>& offsets, const GroupedGemmData& data);

}  // namespace tatr
