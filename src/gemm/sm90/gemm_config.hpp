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

/// What is multiplied, and with it which index of an operand is contiguous in memory.
enum class Operands {
  kForward,        // A [rows, k] and the expert's weights [n, k]
  kDataGradient,   // A [rows, k] and the expert's weights [k, n]
  kWeightGradient  // A [rows, m] and B [rows, n], summed over the expert's rows: they are this product's k
};

/// What becomes of a tile's sums.
enum class Epilogue {
  kStore,          // rounded to bf16
  kSwiglu,         // silu(gate) * up of the two halves of the columns
  kSwigluKeep,     // the same, and the halves themselves
  kSwigluGradient  // the gradients of the two halves and of the gate, and the gated activation (gradient_output.cuh)
};

// The tile of one CTA. With SwiGLU half of its columns are gate, half are up.
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

// What one bulk load brings: half of the tile's rows of A; half of its weights, with SwiGLU all gate or all up rows; of
// an operand that lies across, 64 columns of a k block.
inline constexpr std::int32_t kLoadRowsA = kBlockRows / 2;
constexpr std::int32_t load_rows_b(Schedule schedule) { return block_columns(schedule) / 2; }
inline constexpr std::int32_t kLoadColumns = 64;

struct GemmTraits {
  Operands operands = Operands::kForward;
  bool gather = false;  // A's rows are picked by a list; of weight gradients all are, by a list or one by one
  Epilogue epilogue = Epilogue::kStore;
  Schedule schedule = Schedule::kCooperative;
  bool transpose = false;  // of weight gradients: stored as [n, m]
  bool fp32 = false;       // of weight gradients: stored as they are summed
  bool operator==(const GemmTraits&) const = default;
};

template <GemmTraits kTraits>
struct GemmConfig {
  static constexpr Operands kOperands = kTraits.operands;
  static constexpr Epilogue kEpilogue = kTraits.epilogue;
  static constexpr bool kReducesRows = kOperands == Operands::kWeightGradient;
  static constexpr bool kAcrossA = kReducesRows;                     // k is not what is contiguous in A
  static constexpr bool kAcrossB = kOperands != Operands::kForward;  // nor in B
  static constexpr bool kGather = kTraits.gather || kReducesRows;
  static constexpr bool kSwiglu = kEpilogue == Epilogue::kSwiglu || kEpilogue == Epilogue::kSwigluKeep;
  static constexpr bool kGradient = kEpilogue == Epilogue::kSwigluGradient;
  static constexpr bool kKeep = kEpilogue == Epilogue::kSwigluKeep;
  static constexpr bool kTranspose = kTraits.transpose, kFp32 = kTraits.fp32;
  static constexpr bool kPingPong = kTraits.schedule == Schedule::kPingPong;
  static constexpr int kBlockColumns = block_columns(kTraits.schedule);
  static constexpr int kOutputColumns = kSwiglu ? kBlockColumns / 2 : kBlockColumns;  // of a tile
  static constexpr int kStages = stages(kTraits.schedule);
  static constexpr int kRowBlocks = kPingPong ? 2 : 1;  // of 64 rows, that a warpgroup multiplies
  static constexpr int kSums = kBlockColumns / 2;       // a thread's, of 64 rows
  static constexpr int kLoadRowsB = load_rows_b(kTraits.schedule);
};

}  // namespace tatr
