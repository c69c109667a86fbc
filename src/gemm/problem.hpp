// What a grouped GEMM is asked to do, as far as it can be said before there are data: enough to ask a back end whether
// it can (gemm/registry.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.hpp"

namespace tatr {

enum class GemmKind {
  kRaggedRows,  // each expert has as many rows as its count
  kUniformRows  // all have the same: what the count's mean, cut to an integer, would cost. A yardstick, not a layer
};

/// For each expert e, C[rows of e, n] = A[rows of e, k] * W[e]^T, with W [E, n, k]. Rows of expert e are offsets[e] …
/// offsets[e+1]-1. Sums are fp32.
struct GroupedGemmProblem {
  std::int64_t experts = 0, n = 0, k = 0;
  std::int64_t tile_rows = 128;  // what an expert's rows are cut into, where the back end lets itself be told
  std::int64_t rows_bound = 0;   // rows that A and C have room for
  /// Instead of tile_rows, where experts differ: [E] on the host, or empty. In one launch, or one for each size.
  std::vector<std::int32_t> tile_of_expert = {};
  bool launch_per_tile = false;
  DType dtype = DType::kFp32;
  GemmKind kind = GemmKind::kRaggedRows;
  bool gather = false;  // A is x [T, k], and row r of the GEMM is x[token_index[r]]; -1: zeros
  bool swiglu = false;  // C is [R, n/2]: silu of the first half of the columns times the second
};

/// In the system's memory.
struct GroupedGemmData {
  const void* a = nullptr;                    // [R, k], or [T, k]
  const void* w = nullptr;                    // [E, n, k]
  void* c = nullptr;                          // [R, n], or [R, n/2]
  const std::int32_t* offsets = nullptr;      // [E+1]
  const std::int32_t* token_index = nullptr;  // [R]; only where the problem gathers
};

}  // namespace tatr
