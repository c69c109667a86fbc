// What is fixed when the grouped GEMM is compiled. Tiles of 64 and 256 rows are a matter of scheduling
// (tile_scheduler.cuh).
#pragma once

#include <cstdint>

namespace tatr {

/// How the two warpgroups that multiply share a CTA's tiles.
enum class Schedule {
  kCooperative,  // both work on one tile, 64 rows each, whose results leave behind the next tile's products
  kPingPong      // each works on a tile of its own, half as wide; one stores while the other multiplies
};

// The tile of one CTA. With swiglu half of its columns are gate, half are up.
inline constexpr std::int32_t kBlockRows = 128;
constexpr std::int32_t block_columns(Schedule schedule) { return schedule == Schedule::kPingPong ? 128 : 256; }
inline constexpr std::int32_t kBlockDepth = 64;  // of k: 128 bytes of bf16, one row of the 128-byte swizzle
// Of operands, on their way: as many as fit in 227 KB beside the results.
constexpr std::int32_t stages(Schedule schedule) { return schedule == Schedule::kPingPong ? 6 : 4; }

// Two CTAs share operands. Alone, a CTA would draw 48 bytes a clock out of L2, more than L2 can give to all; sharing,
// 32 to 40. (Ping-pong draws as much as a CTA alone, for a warpgroup's registers hold no more than 128 x 128 sums.)
inline constexpr std::int32_t kCluster = 2;

inline constexpr std::int32_t kStoreBuffers = 2;   // of 64 x 64 results a warpgroup on their way to memory
inline constexpr std::int32_t kGemmThreads = 384;  // two warpgroups that multiply, and one that loads

// What one bulk load brings: half of the tile's rows of A; half of its weights, with swiglu all gate or all up rows.
inline constexpr std::int32_t kLoadRowsA = kBlockRows / 2;
constexpr std::int32_t load_rows_b(Schedule schedule) { return block_columns(schedule) / 2; }

template <bool kGatherRows, bool kFuseSwiglu, Schedule kHow = Schedule::kCooperative>
struct GemmConfig {
  static constexpr bool kGather = kGatherRows;
  static constexpr bool kSwiglu = kFuseSwiglu;
  static constexpr bool kPingPong = kHow == Schedule::kPingPong;
  static constexpr int kBlockColumns = block_columns(kHow);
  static constexpr int kOutputColumns = kSwiglu ? kBlockColumns / 2 : kBlockColumns;  // of a tile
  static constexpr int kStages = stages(kHow);
  static constexpr int kRowBlocks = kPingPong ? 2 : 1;  // of 64 rows, that a warpgroup multiplies
  static constexpr int kSums = kBlockColumns / 2;       // a thread's, of 64 rows
  static constexpr int kLoadRowsB = load_rows_b(kHow);
};

}  // namespace tatr
