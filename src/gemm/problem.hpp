// What a grouped GEMM is asked to do, as far as it can be said before there are data: enough to ask a back end whether
// it can (gemm/registry.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.hpp"

namespace tatr {

enum class GemmKind {
  kRaggedRows,     // C[rows of e, n] = A[rows of e, k] * W[e]^T, with W [E, n, k]; each expert has its count of rows
  kUniformRows,    // all have the same: what the count's mean, cut to an integer, would cost. A yardstick, not a layer
  kDataGradient,   // C[rows of e, n] = A[rows of e, k] * W[e], with W [E, k, n]: the forward pass's weights from behind
  kWeightGradient  // C[e] [n, k] = sum over the rows r of e of A[r, n] ⊗ W[r, k]; zeros where an expert has no rows
};

/// For each expert e, what its kind says. Rows of expert e are offsets[e] … offsets[e+1]-1. Sums are fp32.
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
  bool keep = false;    // with swiglu: the product itself goes to `product`, and C is made of it as it is kept, rounded
  /// Of a data gradient dA: the gradient through SwiGLU and gate in its place. With (a, b) the halves of the row's
  /// `product`: C is [R, 2n], the gradient of (a, b); `weighted` is gate · silu(a) b, `gate_gradient` is ⟨dA, silu(a)
  /// b⟩.
  bool swiglu_gradient = false;
  bool transpose = false;         // of a weight gradient: C[e] is [k, n]
  DType gradient = DType::kFp32;  // of a weight gradient: the element type of C
};

/// In the system's memory.
struct GroupedGemmData {
  const void* a = nullptr;                    // [R, k], or [T, k]; of a weight gradient [R, n], or [T, n]
  const void* w = nullptr;                    // [E, n, k], [E, k, n]; of a weight gradient [R, k]
  void* c = nullptr;                          // [R, n], [R, n/2] or [R, 2n]; of a weight gradient [E, n, k]
  const std::int32_t* offsets = nullptr;      // [E+1]
  const std::int32_t* token_index = nullptr;  // [R]; only where the problem gathers
  void* product = nullptr;                    // keep: [R, n], written. swiglu_gradient: [R, 2n], read
  const float* gate = nullptr;                // [R]; swiglu_gradient only, as the two below
  void* weighted = nullptr;                   // [R, n], written
  float* gate_gradient = nullptr;             // [R], written
};

}  // namespace tatr
