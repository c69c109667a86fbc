// What is fixed when the grouped GEMM is compiled. Tiles of 64 and 256 rows are a matter of scheduling
// (tile_scheduler.cuh).
#pragma once

#include <cstdint>

namespace tatr {

// The tile of one CTA. With swiglu half of its columns are gate, half are up.
inline constexpr std::int32_t kBlockRows = 128, kBlockColumns = 256;
inline constexpr std::int32_t kBlockDepth = 64;  // of k: 128 bytes of bf16, one row of the 128-byte swizzle

// Two CTAs share operands. Alone, a CTA would draw 48 bytes a clock out of L2, more than L2 can give to all; sharing,
// 32 to 40.
inline constexpr std::int32_t kCluster = 2;

// Of operands, and of 64 x 64 results a warpgroup on their way to memory: what fits in 227 KB.
inline constexpr std::int32_t kStages = 4, kStoreBuffers = 2;

inline constexpr std::int32_t kGemmThreads = 384;  // two warpgroups that multiply, and one that loads

// What one bulk load brings: half of the tile's rows of A; half of its weights, with swiglu all gate or all up rows.
inline constexpr std::int32_t kLoadRowsA = kBlockRows / 2, kLoadRowsB = kBlockColumns / 2;

template <bool kGatherRows, bool kFuseSwiglu>
struct GemmConfig {
  static constexpr bool kGather = kGatherRows;
  static constexpr bool kSwiglu = kFuseSwiglu;
};

}  // namespace tatr
