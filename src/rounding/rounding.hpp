// Rounds each expert's rows to whole tiles: picks how many rows of its ranking every expert gets (the target) and lists
// them. Knows nothing of GEMMs and of time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "options/options.hpp"
#include "rounding/metrics.hpp"
#include "router/routing.hpp"

namespace tatr {

/// Rows by expert, as grouped GEMMs take them. Buffers live in the routing's system.
struct Dispatch {
  std::int64_t rows = 0;         // R = offsets[E]
  Buffer<std::int32_t> offsets;  // [E+1] rows of expert e are offsets[e] … offsets[e+1]-1
  Buffer<std::int32_t> token;    // [R] token of each row; -1: a padding row
  Buffer<float> gate;            // [R]; 0 for padding and duplicated rows
};

/// The rows of each token, in row order: how outputs find their way back to token order.
struct TokenRows {
  Buffer<std::int32_t> offsets;  // [T+1]
  Buffer<std::int32_t> rows;     // [R]; without the padding rows, so offsets[T] of them
};

TokenRows rows_by_token(System& system, const Dispatch& dispatch, std::int64_t tokens);

struct Rounded {
  Dispatch dispatch;
  RoundingMetrics metrics;
  std::vector<std::int32_t> tile_of_expert;  // [E] where experts have tiles of their own (dynamic), else empty
  std::vector<std::string> warnings;
};

/// All that rounding writes on the way, and the dispatch it ends with: made once, for any strategy at tiles of at most
/// `most_tile` rows on routings of one shape, and used again and again.
class RoundingScratch {
 public:
  RoundingScratch(System& system, std::int64_t tokens, std::int64_t experts, std::int64_t top_k,
                  std::int64_t most_tile);
  ~RoundingScratch();
  RoundingScratch(const RoundingScratch&) = delete;
  RoundingScratch& operator=(const RoundingScratch&) = delete;

  /// Of the system's memory.
  static std::size_t bytes(const System& system, std::int64_t tokens, std::int64_t experts, std::int64_t top_k,
                           std::int64_t most_tile);
  struct Parts;
  Parts& parts() { return *parts_; }

 private:
  std::unique_ptr<Parts> parts_;
};

/// One strategy at one tile, and what its random stream is picked by: seed, layer and the strategy's canonical text.
/// The strategy must outlive it.
struct RoundingCase {
  const StrategyConfig& strategy;
  std::int64_t tile = 0;
  std::uint64_t seed = 0;
  std::int64_t layer = 0;
};

/// Throws ConfigError, at strategy.place, where the strategy needs more than is known.
void check_strategy(const StrategyConfig& strategy, Known known);

/// Says that rows were filled with padding for want of scores, where they were.
std::vector<std::string> padding_warnings(const StrategyConfig& strategy, const RoundingMetrics& metrics);

/// Rounds into the scratch, as timed work: gives the system its work and returns; allocates nothing, waits for nothing,
/// and can be recorded for replay. Throws ConfigError as round_routing does, but for a budget that is too small.
void round_into(const Routing& routing, const RoundingCase& one, System& system, RoundingScratch& scratch);

/// Where round_into leaves its result, in the system's memory: room for most_rows rows, of which offsets[E] are there.
struct RoundedView {
  std::int64_t most_rows = 0;
  const std::int32_t* target = nullptr;   // [E] rows of each expert
  const std::int32_t* offsets = nullptr;  // [E+1]
  const std::int32_t* token = nullptr;    // [most_rows]
  const float* gate = nullptr;            // [most_rows]
};
RoundedView view_of(RoundingScratch& scratch);

/// The rows of each token of that result, ascending, where the scratch has room for them: those of token t are
/// rows[offsets[t]] … rows[offsets[t+1]-1]. As timed work, like round_into.
struct TokenRowsView {
  const std::int32_t* offsets = nullptr;  // [T+1]
  const std::int32_t* rows = nullptr;     // [most_rows]
};
TokenRowsView list_rows_by_token(System& system, RoundingScratch& scratch);

/// Waits, and throws the ConfigError that round_into leaves out: a budget of fewer tiles than `down` needs.
void check_rounded(const StrategyConfig& strategy, RoundingScratch& scratch);

/// The dispatch that the last round_into left in the scratch, cut to its rows.
Dispatch dispatch_of(System& system, RoundingScratch& scratch);

/// Overwrites that dispatch, so that a round_into that does not run, or not whole, shows.
void poison_dispatch(System& system, RoundingScratch& scratch);

/// Applies one strategy at one tile.
/// Throws ConfigError (at strategy.place) where the strategy cannot be applied: a budget of fewer tiles than `down`
/// needs, or `score` and `next_best` on a trace that lacks the scores of all experts.
Rounded round_routing(const Routing& routing, const RoundingCase& one, System& system, RoundingScratch& scratch);
Rounded round_routing(const Routing& routing, const RoundingCase& one, System& system);

/// The largest tile that a strategy uses where the experiment's tile is `tile`.
std::int64_t most_tile_of(const StrategyConfig& strategy, std::int64_t tile);

}  // namespace tatr
