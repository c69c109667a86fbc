// One cblas_sgemm an expert; of weight gradients one for each 128 of its rows. The granule is one row: rounding buys
// nothing here but fewer rows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "gemm/grouped_gemm.hpp"
#include "gemm/problem.hpp"

namespace tatr {

std::string why_not_openblas(const GroupedGemmProblem& problem, const DeviceInfo& device);

std::unique_ptr<GroupedGemm> make_openblas_gemm(System& system, const GroupedGemmProblem& problem,
                                                const std::vector<std::int32_t>& offsets, const GroupedGemmData& data);

}  // namespace tatr
