// The strategies: how many rows of its ranking each expert gets. Meaning and source of each rule: docs/strategies.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.hpp"
#include "core/integer_math.hpp"
#include "core/philox.hpp"
#include "device/thrust_policy.cuh"
#include "rounding/rank_key.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

inline constexpr int kMaxLoadSteps = 16;

/// Which tile an expert of a given load uses (`dynamic`); a single step without bound is one tile for all.
struct TileSteps {
  std::int32_t count = 0;
  std::int32_t below[kMaxLoadSteps];
  std::int32_t tile[kMaxLoadSteps];

  TATR_HD std::int32_t operator()(std::int32_t load) const {
    std::int32_t step = 0;
    while (step + 1 < count && load >= below[step]) ++step;
    return tile[step];
  }
};

/// An expert's count against its tile: `kept` own tokens before rounding (all of them, but for `capacity`).
struct Load {
  std::int32_t kept, tile, rem;
  TATR_HD std::int32_t down() const { return kept - rem; }
  TATR_HD std::int32_t up() const { return rem == 0 ? kept : kept - rem + tile; }
  TATR_HD bool nearest_is_up() const { return tile - rem < rem; }
  TATR_HD bool nearest_even_is_up() const { return nearest_is_up() || (tile - rem == rem && (down() / tile) % 2 == 1); }
};

struct Loads {
  const std::int32_t* counts;
  std::int32_t capacity;  // rows an expert may keep before rounding
  TileSteps tiles;
  TATR_HD Load operator()(std::int64_t expert) const {
    const std::int32_t kept = counts[expert] < capacity ? counts[expert] : capacity;
    const std::int32_t tile = tiles(counts[expert]);
    return {kept, tile, kept % tile};
  }
};

/// What dropping the remainder of an expert would cost: the sums over its last `rem` own gates. Negative: nothing to
/// round.
struct StakeOfExpert {
  Loads loads;
  double* squared;  // [E]
  double* mass;     // [E]
  /// `own`: the expert's ranking.
  TATR_HD void operator()(std::int64_t expert, const std::uint64_t* own) const {
    const Load load = loads(expert);
    const std::uint64_t* last = own + load.down();
    double squares = 0.0, sum = 0.0;
    TATR_UNROLL_ON_GPU
    for (std::int32_t i = 0; i < load.rem; ++i) {
      const double gate = static_cast<double>(key_score(last[i]));
      squares += gate * gate;
      sum += gate;
    }
    squared[expert] = load.rem == 0 ? -1.0 : squares;
    mass[expert] = load.rem == 0 ? -1.0 : sum;
  }
};

/// Rules that look at one expert only.
struct DecideAlone {
  StrategyKind rule;
  Loads loads;
  double threshold;
  std::uint64_t seed;
  std::uint32_t layer;
  const double* own_mass;   // [E] score: of the remainder
  const double* fill_mass;  // [E] score: of the rows that would be added
  std::int32_t* target;

  TATR_HD bool goes_up(std::int64_t expert, const Load& load) const {
    const auto draw = [&] { return random_bits(seed, Stream::kRounding, static_cast<std::uint32_t>(expert), layer); };
    switch (rule) {
      case StrategyKind::kUp:
        return true;
      case StrategyKind::kNearest:
        return load.nearest_is_up();
      case StrategyKind::kNearestEven:
        return load.nearest_even_is_up();
      case StrategyKind::kAdaptive:
        return static_cast<double>(load.rem) / static_cast<double>(load.tile) > threshold;
      case StrategyKind::kStochastic:
        return std::uint64_t{draw()} * static_cast<std::uint64_t>(load.tile) < static_cast<std::uint64_t>(load.rem)
                                                                                   << 32;
      case StrategyKind::kScore:
        return static_cast<double>(draw()) * 0x1p-32 * (own_mass[expert] + fill_mass[expert]) < own_mass[expert];
      case StrategyKind::kNone:  // and what is decided elsewhere, by a look at all experts
      case StrategyKind::kDown:
      case StrategyKind::kBalance:
      case StrategyKind::kBudget:
      case StrategyKind::kCapacity:
      case StrategyKind::kDynamic:
        return false;
    }
    return false;
  }

  TATR_HD void operator()(std::int64_t expert) const {
    const Load load = loads(expert);
    if (rule == StrategyKind::kNone || load.rem == 0) {
      target[expert] = load.kept;
    } else {
      target[expert] = goes_up(expert, load) ? load.up() : load.down();
    }
  }
};

/// What an expert's rows become, less what they are.
struct Deviations {
  std::int32_t up, down;
  TATR_HD static Deviations of(const Load& load) { return {load.up() - load.kept, load.down() - load.kept}; }
};

/// `balance`: each expert's choice pulls the running sum of deviations back to zero; sequential by nature.
/// change(e, deviation) takes what is chosen. The sum stays below E M / 2.
template <class DeviationsOf, class Change>
TATR_HD void decide_balance(std::int32_t experts, DeviationsOf deviations_of, Change change) {
  std::int32_t z = 0;
  TATR_UNROLL_ON_GPU
  for (std::int32_t e = 0; e < experts; ++e) {
    const Deviations deviations = deviations_of(e);
    const std::int32_t if_up = abs(deviations.up + z), if_down = abs(deviations.down + z);
    const std::int32_t taken = if_up < if_down ? deviations.up : deviations.down;
    change(e, taken);
    z += taken;
  }
}

enum class BudgetRule { kOfNearest, kTotalTiles, kMaxDroppedMass };

/// What `budget` knows of all experts before it counts its round-ups.
struct BudgetTally {
  std::int32_t candidates = 0, nearest = 0, down_tiles = 0;
  TATR_HD void add(const Load& load) {
    candidates += load.rem > 0;
    nearest += load.rem > 0 && load.nearest_is_up();
    down_tiles += load.down() / load.tile;
  }
};

/// How many experts `budget` rounds up; or, among whole tiles, how many it keeps (tile_choice.cuh).
struct BudgetSize {
  BudgetRule rule = BudgetRule::kOfNearest;
  double amount = 1.0;     // factor, or mass per token times tokens
  std::int64_t tiles = 0;  // total tiles asked

  /// A fraction of the experts that nearest rounds up; no more than can be.
  TATR_HD std::int64_t of_nearest(const BudgetTally& tally) const {
    const double asked = floor(amount * static_cast<double>(tally.nearest));
    return asked < static_cast<double>(tally.candidates) ? static_cast<std::int64_t>(asked) : tally.candidates;
  }

  /// `mass` [E] is at stake for each expert, `order` the experts by stake, high to low.
  TATR_HD std::int32_t operator()(const BudgetTally& tally, const double* mass, const std::int32_t* order) const {
    std::int64_t n = 0;
    if (rule == BudgetRule::kOfNearest) {
      n = of_nearest(tally);
    } else if (rule == BudgetRule::kTotalTiles) {
      n = tiles - tally.down_tiles;
    } else {
      double dropped = 0.0;
      for (n = tally.candidates; n > 0 && dropped + mass[order[n - 1]] <= amount; --n) dropped += mass[order[n - 1]];
    }
    return static_cast<std::int32_t>(n < tally.candidates ? n : tally.candidates);
  }
};

/// Of T tokens with T K assignments, at tiles of `tile` rows.
inline BudgetSize budget_size(const StrategyConfig& strategy, std::int64_t tokens, std::int64_t assignments,
                              std::int64_t tile) {
  BudgetSize size;
  const BudgetTiles& tiles = strategy.get<BudgetOptions>().tiles;
  if (const auto* of_nearest = std::get_if<BudgetOfNearest>(&tiles)) size.amount = of_nearest->factor;
  if (const auto* most = std::get_if<BudgetMaxDroppedMass>(&tiles)) {
    size.rule = BudgetRule::kMaxDroppedMass;
    size.amount = most->mass * static_cast<double>(tokens);
  }
  if (const auto* total = std::get_if<BudgetTotalTiles>(&tiles)) {
    size.rule = BudgetRule::kTotalTiles;
    size.tiles = total->tiles;
  }
  if (std::holds_alternative<BudgetAssignments>(tiles)) {  // never fewer than `down` needs
    size.rule = BudgetRule::kTotalTiles;
    size.tiles = assignments / tile;
  }
  if (std::holds_alternative<BudgetWaves>(tiles)) {
    throw ConfigError(strategy.place.child("tiles"), "waves must be turned into a number of tiles first");
  }
  return size;
}

/// What `budget` on the CPU reads and writes.
struct BudgetArrays {
  const double *stake, *mass;  // [E]
  std::int32_t* order;         // [E]; scratch
  std::int32_t* down_tiles;    // [1]; becomes the least that it can be asked for
  std::int32_t* target;        // [E]
};

/// `budget` on the CPU.
inline void decide_budget(const Loads& loads, std::int32_t experts, const BudgetSize& budget,
                          const BudgetArrays& arrays) {
  const auto& [stake, mass, order, down_tiles, target] = arrays;
  BudgetTally tally;
  for (std::int32_t e = 0; e < experts; ++e) {
    tally.add(loads(e));
    order[e] = e;
  }
  std::stable_sort(order, order + experts, [by = stake](std::int32_t a, std::int32_t b) { return by[a] > by[b]; });
  *down_tiles = tally.down_tiles;
  const std::int32_t round_ups = budget(tally, mass, order);
  for (std::int32_t place = 0; place < experts; ++place) {
    const Load load = loads(order[place]);
    target[order[place]] = place < round_ups ? load.up() : load.down();
  }
}

/// Rows by which each expert's target exceeds what it keeps, at most `available` = T - count.
struct NeedOfTarget {
  Loads loads;
  std::int32_t tokens;
  const std::int32_t* target;  // null: as if all went up
  std::int32_t* need;
  TATR_HD void operator()(std::int64_t expert) const {
    const Load load = loads(expert);
    const std::int32_t wanted = (target == nullptr ? load.up() : target[expert]) - load.kept;
    const std::int32_t available = tokens - loads.counts[expert];
    need[expert] = wanted <= 0 ? 0 : (wanted < available ? wanted : available);
  }
};

/// What a strategy does to one routing, the same for every way of computing it.
inline TileSteps tile_steps(const StrategyConfig& strategy, std::int64_t tile) {
  TileSteps steps;
  if (strategy.kind != StrategyKind::kDynamic) {
    steps.tile[steps.count++] = static_cast<std::int32_t>(tile);
    return steps;
  }
  for (const TileByLoad& step : strategy.get<DynamicOptions>().tiles_by_load) {
    if (steps.count == kMaxLoadSteps) throw ConfigError(strategy.place.child("tiles_by_load"), "more than 16 steps");
    steps.below[steps.count] = static_cast<std::int32_t>(step.below.value_or(0));
    steps.tile[steps.count++] = static_cast<std::int32_t>(step.tile);
  }
  return steps;
}

/// Whether `budget` chooses among all tiles, not among the experts' remainders. After `capacity` and `dynamic` it does
/// not.
inline bool chooses_tiles(const StrategyConfig& strategy) {
  return strategy.kind == StrategyKind::kBudget && strategy.get<BudgetOptions>().candidates == BudgetCandidates::kTiles;
}

/// ceil(f T K / (E M)) M rows for `capacity`, else no limit.
inline std::int32_t capacity_rows(const StrategyConfig& strategy, std::int64_t assignments, std::int64_t experts,
                                  std::int64_t tile) {
  if (strategy.kind != StrategyKind::kCapacity) return kMaxCount;
  const double share =
      strategy.get<CapacityOptions>().factor * static_cast<double>(assignments) / static_cast<double>(experts * tile);
  const double rows = std::ceil(share) * static_cast<double>(tile);
  return static_cast<std::int32_t>(std::min(rows, static_cast<double>(kMaxCount)));
}

}  // namespace tatr
