// cuBLAS as grouped GEMM, three ways. The library is loaded at run time, so that a machine without it runs everything
// else. Its tile is its own affair: the granule of these back ends is not known.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "gemm/grouped_gemm.hpp"
#include "gemm/problem.hpp"

namespace tatr {

enum class CublasMode {
  kGrouped,  // cublasGemmGroupedBatchedEx: one call for all experts
  kLoop,     // cublasGemmEx: one call an expert
  kUniform,  // cublasGemmStridedBatchedEx with equal counts, floor(R / E) each: a yardstick, not the expert layer
};

/// What keeps libcublas (version 12.5 or later) from being used; empty: nothing.
std::string cublas_missing();

inline std::string why_not_cublas(const GroupedGemmProblem& problem, const DeviceInfo& device) {
  if (problem.kind == GemmKind::kUniformRows) return "it multiplies each expert's own rows only";
  if (problem.dtype != DType::kBf16) return "it takes bf16";
  if (problem.gather || problem.swiglu || problem.swiglu_gradient) return "it fuses neither gather nor SwiGLU";
  if (device.compute_capability < 80) return "bf16 needs compute capability 8.0";
  return {};
}

inline std::string why_not_cublas_grouped(const GroupedGemmProblem& problem, const DeviceInfo& device) {
  if (problem.kind == GemmKind::kDataGradient || problem.kind == GemmKind::kWeightGradient)
    return "it runs forward only";
  return why_not_cublas(problem, device);
}

inline std::string why_not_cublas_uniform(const GroupedGemmProblem& problem, const DeviceInfo&) {
  if (problem.kind != GemmKind::kUniformRows) return "it is a yardstick that multiplies equal counts only";
  return problem.dtype == DType::kBf16 ? "" : "it takes bf16";
}

std::unique_ptr<GroupedGemm> make_cublas_gemm(System& system, CublasMode mode, const GroupedGemmProblem& problem,
                                              const std::vector<std::int32_t>& offsets, const GroupedGemmData& data);

}  // namespace tatr
