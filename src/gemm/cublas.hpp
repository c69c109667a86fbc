// cuBLAS as grouped GEMM, three ways. The library is loaded at run time, so that a machine without it runs everything
// else. Its tile is its own affair: the granule of these back ends is not known.
#pragma once

#include "gemm/grouped_gemm.hpp"

namespace tatr {

/// Whether the library is found.
bool cublas_is_there() noexcept;

enum class CublasMode {
  kGrouped,  // cublasGemmGroupedBatchedEx: one call for all experts
  kLoop,     // cublasGemmEx: one call an expert
  kUniform,  // cublasGemmStridedBatchedEx with equal counts, floor(R / E) each: a yardstick, not the expert layer
};

/// Throws EnvironmentError if libcublas (version 12 or 13) is not found.
std::unique_ptr<GroupedGemm> make_cublas_gemm(System& system, CublasMode mode, const GroupedGemmShape& shape,
                                              const std::vector<std::int32_t>& offsets, const GroupedGemmData& data);

}  // namespace tatr
