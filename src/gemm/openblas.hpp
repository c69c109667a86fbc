// One cblas_sgemm an expert. The granule is one row: rounding buys nothing here but fewer rows.
#pragma once

#include "gemm/grouped_gemm.hpp"

namespace tatr {

std::unique_ptr<GroupedGemm> make_openblas_gemm(int threads, const GroupedGemmShape& shape,
                                                const std::vector<std::int32_t>& offsets, const GroupedGemmData& data);

}  // namespace tatr
