// The grouped GEMM as its definition says, in plain loops: fp32 operands and sums, gather, SwiGLU and its gradient
// included. For any shape and slow; others are compared with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "gemm/grouped_gemm.hpp"
#include "gemm/problem.hpp"

namespace tatr {

std::string why_not_reference(const GroupedGemmProblem& problem, const DeviceInfo& device);

std::unique_ptr<GroupedGemm> make_reference_gemm(System& system, const GroupedGemmProblem& problem,
                                                 const std::vector<std::int32_t>& offsets, const GroupedGemmData& data);

}  // namespace tatr
