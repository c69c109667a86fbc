// The rounding strategies: their catalogue, one row each, and what a config says of one. Names in configs, the schema,
// help and titles come from the rows; how a strategy decides is rounding/targets.cuh's business.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/error.hpp"

namespace tatr {

enum class StrategyKind {
  kNone,
  kDown,
  kUp,
  kNearest,
  kAdaptive,
  kStochastic,
  kScore,
  kBalance,
  kCapacity,
  kDynamic,
  kBudget,
  kNearestEven
};

struct StrategyRow {
  StrategyKind kind;
  std::string_view name;   // in configs and results
  std::string_view title;  // in reports
  bool has_options;        // of its own: a struct below, a part of the schema and a case in config/read.cpp
  std::string_view help;
};

/// In the order of StrategyKind.
inline constexpr auto kStrategies = std::to_array<StrategyRow>({
    {StrategyKind::kNone, "none", "Top-k, No Rounding", false, "plain top-k: every expert keeps its count"},
    {StrategyKind::kDown, "down", "Round Down", false, "down to whole tiles; the lowest-ranked tokens are dropped"},
    {StrategyKind::kUp, "up", "Round Up", false, "up to whole tiles; the next best tokens (or padding) are added"},
    {StrategyKind::kNearest, "nearest", "Round to Nearest", false, "to the nearer multiple; an exact tie goes down"},
    {StrategyKind::kAdaptive, "adaptive", "Adaptive", true,
     "up if the last tile is fuller than `threshold`, else down"},
    {StrategyKind::kStochastic, "stochastic", "Stochastic", false,
     "up with the probability of the last tile's filling"},
    {StrategyKind::kScore, "score", "By Score", false, "up with probability a / (a + b) of gates at stake and gained"},
    {StrategyKind::kBalance, "balance", "Balanced", false, "up or down so that the total stays near T K"},
    {StrategyKind::kCapacity, "capacity", "Capacity", true, "at most `factor` times the mean, then as `then` says"},
    {StrategyKind::kDynamic, "dynamic", "Dynamic Tiles", true, "tile of each expert by its load, then as `then` says"},
    {StrategyKind::kBudget, "budget", "Tile Budget", true,
     "up only where the most gate mass is at stake, `tiles` says how many; or, of `candidates` tiles, the best"},
    {StrategyKind::kNearestEven, "nearest_even", "Round to Nearest, Ties to Even", false,
     "to the nearer multiple; an exact tie goes to an even number of tiles"},
});

constexpr const StrategyRow& row_of(StrategyKind kind) { return kStrategies[static_cast<std::size_t>(kind)]; }

enum class Fill { kNextBest, kDuplicate, kPad };
/// What an added row weighs: p, or p / (sum of p of the token's chosen), the scale of its own gates.
enum class AddedGate { kScore, kNormalised };
enum class BudgetObjective { kMassSquared, kMass };
enum class BudgetCandidates { kRemainders, kTiles };

/// How many tiles `budget` may use.
struct BudgetAsNearest {};
struct BudgetAssignments {};  // as many as the T K assignments would fill
struct BudgetOfNearest {
  double factor;
};
struct BudgetTotalTiles {
  std::int64_t tiles;
};
struct BudgetMaxDroppedMass {
  double mass;
};
struct BudgetWaves {
  double waves;                     // of the up-projection's output tiles over the multiprocessors
  std::optional<std::int64_t> sms;  // absent: those of the GPU at hand
};
using BudgetTiles = std::variant<BudgetAsNearest, BudgetAssignments, BudgetOfNearest, BudgetTotalTiles,
                                 BudgetMaxDroppedMass, BudgetWaves>;

/// One step of `dynamic`: experts with fewer than `below` tokens use `tile` rows. The last step has no bound.
struct TileByLoad {
  std::optional<std::int64_t> below;
  std::int64_t tile;
};

struct AdaptiveOptions {
  double threshold = 0.9;  // up where the last tile is fuller
};

struct CapacityOptions {
  double factor = 1.25;  // rows an expert may keep: so many times the mean, in whole tiles
  StrategyKind then = StrategyKind::kUp;
};

struct DynamicOptions {
  StrategyKind then = StrategyKind::kDown;
  std::vector<TileByLoad> tiles_by_load;
};

struct BudgetOptions {
  BudgetObjective objective = BudgetObjective::kMassSquared;
  BudgetCandidates candidates = BudgetCandidates::kRemainders;
  BudgetTiles tiles = BudgetAsNearest{};
};

/// Of the strategies that have options of their own; nothing for the others.
using StrategyOptions = std::variant<std::monostate, AdaptiveOptions, CapacityOptions, DynamicOptions, BudgetOptions>;

struct StrategyConfig {
  StrategyKind kind = StrategyKind::kNone;
  StrategyOptions options;
  std::string name;                          // as in the config
  std::string label;                         // shown in reports; the name where none is given
  std::optional<Fill> fill;                  // absent: next_best where the scores of all experts are known, else pad
  AddedGate added_gate = AddedGate::kScore;  // next_best; the reader knows the default of each router
  bool renormalise = false;
  std::string canonical;  // name and options, without label and added_gate, as sorted JSON without blanks: names the
                          // random stream
  ErrorPlace place;       // in the config

  /// The options, or their defaults where the strategy is of another kind.
  template <class Options>
  const Options& get() const {
    static const Options kDefaults{};
    const Options* own = std::get_if<Options>(&options);
    return own != nullptr ? *own : kDefaults;
  }
};

/// The rule that decides on tiles: the strategy itself, or what follows its own step.
inline StrategyKind rule_of(const StrategyConfig& strategy) {
  if (strategy.kind == StrategyKind::kCapacity) return strategy.get<CapacityOptions>().then;
  return strategy.kind == StrategyKind::kDynamic ? strategy.get<DynamicOptions>().then : strategy.kind;
}

/// Whether rows of tokens that did not choose an expert may be added: it is not ruled out that an expert is rounded up,
/// and nothing else is to fill its tiles.
inline bool may_add_rows(const StrategyConfig& strategy) {
  const StrategyKind rule = rule_of(strategy);
  return rule != StrategyKind::kNone && rule != StrategyKind::kDown &&
         strategy.fill.value_or(Fill::kNextBest) == Fill::kNextBest;
}

}  // namespace tatr
