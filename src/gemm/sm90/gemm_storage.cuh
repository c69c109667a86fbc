// What the roles of the grouped GEMM (sm90_bf16_grouped_gemm.cuh) have in common: parameters, shared memory, rings.
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "gemm/sm90/gemm_config.hpp"
#include "gemm/sm90/ptx.cuh"
#include "gemm/sm90/tile_scheduler.cuh"

namespace tatr::sm90 {

inline constexpr int kMultipliers = 2;    // warpgroups 0 and 1, 64 rows each; warpgroup 2 loads
inline constexpr int kItemRing = 2;       // items that the scheduler may be ahead
inline constexpr int kStoreColumns = 64;  // 128 bytes of results, one row of the 128-byte swizzle
inline constexpr int kGatherWarps = 2;
inline constexpr int kGatherLag = 1;  // stages

inline constexpr int kBytesA = kBlockRows * kBlockDepth * 2;
inline constexpr int kBoxBytes = kLoadColumns * kBlockDepth * 2;  // of an operand that lies across
inline constexpr std::uint16_t kBothCtas = 3;

template <class Config>
inline constexpr int kBytesB = Config::kBlockColumns* kBlockDepth * 2;

struct GemmParams {
  TileGrid grid;
  const std::int32_t* offsets;  // [experts + 1]
  std::int32_t* queue;          // items taken, and clusters that have seen the end: both 0 between launches
  void* c;
  std::int32_t output_columns;      // of C; of the gradient through SwiGLU, of each half of it
  std::int32_t output_rows;         // of an expert's weight gradient, before it is transposed
  std::int32_t up_row;              // first row of the up half of the weights (SwiGLU)
  std::int32_t k;                   // of a weight gradient each expert has its own: its rows
  std::int32_t k_stagger;           // k blocks by which each expert's start in k is shifted against the one before
  const __nv_bfloat16* x;           // [tokens, k], of weight gradients [tokens, output_rows] (gather)
  const std::int32_t* token_index;  // [rows]; negative: a row of zeros (gather); null: row r is x's row r
  __nv_bfloat16* product;           // [rows, 2, output_columns], kept or read (keep, gradient through SwiGLU)
  const float* gate;                // [rows] (gradient through SwiGLU)
  __nv_bfloat16* weighted;          // [rows, output_columns] (the same)
  float* gate_gradient;             // [column tiles, rows_bound] (the same)
  std::int32_t rows_bound;
  bool prefetch;  // as in the plan
};

/// Where bulk copies find their arrays. A map that a configuration does not use may be anything.
struct GemmMaps {
  CUtensorMap a, b, c, product;
};

/// Under the 128-byte swizzle a copy and a product agree on where a segment lies only if its eight rows begin at a
/// multiple of this.
inline constexpr std::size_t kSwizzleBytes = 1024;

/// Items on their way from the scheduler to all who work on them.
struct ItemQueue {
  static constexpr int kWords = 2;
  alignas(16) int4 items[kItemRing][kWords];
  std::uint64_t full[kItemRing], empty[kItemRing];  // empty: of the cluster's first CTA, for both
};

/// Results on their way to memory, in blocks of 64 x 64.
struct TileBuffers {
  alignas(kSwizzleBytes) unsigned char blocks[kMultipliers][kStoreBuffers][64 * kStoreColumns * 2];
};

/// Half a tile of dA on its way through SwiGLU: 8 of each warp's 16 rows.
struct GradientBuffers {
  alignas(kSwizzleBytes) unsigned char rows[kMultipliers * 4][8][block_columns(Schedule::kCooperative) * 2];
};

template <class Config>
struct SharedStorage {
  using Results = std::conditional_t<Config::kGradient, GradientBuffers, TileBuffers>;
  alignas(kSwizzleBytes) unsigned char a[Config::kStages][kBytesA];
  alignas(kSwizzleBytes) unsigned char b[Config::kStages][kBytesB<Config>];
  Results results;
  ItemQueue items;
  std::uint64_t full[Config::kStages], empty[Config::kStages];
};

/// A place in a ring of buffers, and the parity of the phase that a reader waits for there.
template <int kCount>
struct RingPosition {
  int index = 0;
  std::uint32_t parity = 0;
  __device__ void advance() {
    if (++index == kCount) index = 0, parity ^= 1;
  }
  __device__ void advance_by(int steps) {
    parity ^= (index + steps) / kCount & 1;
    index = (index + steps) % kCount;
  }
};

/// Products along k that an item has: an expert without rows one, of zeros.
template <class Config>
__device__ __forceinline__ int k_blocks_of(const GemmParams& params, const TileItem& item) {
  if (!Config::kReducesRows) return ceil_div(params.k, kBlockDepth);
  return item.k_rows == 0 ? 1 : ceil_div(item.k_rows, kBlockDepth);
}

/// Where an expert starts in k: experts worked on together should not all read the same offset in rows of equal, even
/// length.
template <class Config>
__device__ inline int first_k_block(const GemmParams& params, int expert, int k_blocks) {
  if (Config::kReducesRows) return 0;
  return static_cast<int>(static_cast<std::uint32_t>(expert) * static_cast<std::uint32_t>(params.k_stagger) %
                          static_cast<std::uint32_t>(k_blocks));
}

}  // namespace tatr::sm90
