// The strategies: how many rows of its ranking each expert gets. Meaning and source of each rule: README, "Strategies".
#pragma once

#include <cmath>
#include <string>

#include "core/error.hpp"
#include "core/integer_math.hpp"
#include "core/philox.hpp"
#include "core/thrust_policy.cuh"
#include "rounding/fill.cuh"
#include "rounding/ranking.cuh"
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

/// Sum of f(score) over `count` consecutive keys, in rank order, in fp64.
template <class Function>
TATR_HD double sum_scores(const std::uint64_t* keys, std::int32_t count, Function f) {
  double sum = 0.0;
  for (std::int32_t i = 0; i < count; ++i) sum += f(static_cast<double>(key_score(keys[i])));
  return sum;
}

/// Rules that look at one expert only.
struct DecideAlone {
  StrategyKind rule;
  Loads loads;
  double threshold;
  std::uint64_t seed;
  std::uint32_t layer;
  const std::uint64_t* own_keys;  // score: both rankings
  const std::int32_t* own_offsets;
  const std::uint64_t* fill_keys;
  const std::int32_t* fill_offsets;
  const std::int32_t* fill_need;
  std::int32_t* target;

  TATR_HD bool goes_up(std::int64_t expert, const Load& load) const {
    const auto draw = [&] { return random_bits(seed, Stream::kRounding, static_cast<std::uint32_t>(expert), layer); };
    switch (rule) {
      case StrategyKind::kUp:
        return true;
      case StrategyKind::kNearest:
        return load.nearest_is_up();
      case StrategyKind::kAdaptive:
        return static_cast<double>(load.rem) / static_cast<double>(load.tile) > threshold;
      case StrategyKind::kStochastic:
        return std::uint64_t{draw()} * static_cast<std::uint64_t>(load.tile) < static_cast<std::uint64_t>(load.rem)
                                                                                   << 32;
      case StrategyKind::kScore: {
        const auto itself = [](double score) { return score; };
        const double a = sum_scores(own_keys + own_offsets[expert] + load.down(), load.rem, itself);
        const double b = sum_scores(fill_keys + fill_offsets[expert], fill_need[expert], itself);
        return static_cast<double>(draw()) * 0x1p-32 * (a + b) < a;
      }
      default:
        return false;
    }
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

/// `balance`: each expert's choice pulls the running sum of deviations back to zero. Sequential by nature.
struct DecideBalance {
  Loads loads;
  std::int32_t experts;
  std::int32_t* target;
  TATR_HD void operator()(std::int64_t) const {
    std::int64_t z = 0;
    for (std::int32_t e = 0; e < experts; ++e) {
      const Load load = loads(e);
      const std::int64_t up = load.up() - load.kept, down = load.down() - load.kept;
      const std::int64_t if_up = up + z < 0 ? -(up + z) : up + z;
      const std::int64_t if_down = down + z < 0 ? -(down + z) : down + z;
      const std::int64_t taken = if_up < if_down ? up : down;
      target[e] = load.kept + static_cast<std::int32_t>(taken);
      z += taken;
    }
  }
};

/// What dropping the remainder of an expert would cost; negative: nothing to round.
struct StakeOfExpert {
  Loads loads;
  const std::uint64_t* own_keys;
  const std::int32_t* own_offsets;
  double* squared;
  double* mass;
  TATR_HD void operator()(std::int64_t expert) const {
    const Load load = loads(expert);
    const std::uint64_t* last = own_keys + own_offsets[expert] + load.down();
    squared[expert] = load.rem == 0 ? -1.0 : sum_scores(last, load.rem, [](double g) { return g * g; });
    mass[expert] = load.rem == 0 ? -1.0 : sum_scores(last, load.rem, [](double g) { return g; });
  }
};

/// Place of each expert when sorted by stake, high to low, ties to the lower index.
struct PlaceByStake {
  const double* stake;
  std::int32_t experts;
  std::int32_t* order;  // [E] experts by place
  std::int32_t* place;  // [E] place of each expert
  TATR_HD void operator()(std::int64_t expert) const {
    std::int32_t ahead = 0;
    for (std::int32_t e = 0; e < experts; ++e) {
      ahead += stake[e] > stake[expert] || (stake[e] == stake[expert] && e < expert);
    }
    place[expert] = ahead;
    order[ahead] = static_cast<std::int32_t>(expert);
  }
};

enum class BudgetRule { kOfNearest, kTotalTiles, kMaxDroppedMass };

/// How many experts `budget` rounds up. result[0]: that number; result[1]: the tiles that `down` needs.
struct CountRoundUps {
  Loads loads;
  std::int32_t experts;
  BudgetRule rule;
  double amount;  // factor, or mass per token times tokens
  std::int64_t tiles;
  const double* mass;
  const std::int32_t* order;
  std::int64_t* result;
  TATR_HD void operator()(std::int64_t) const {
    std::int64_t candidates = 0, nearest = 0, down_tiles = 0;
    for (std::int32_t e = 0; e < experts; ++e) {
      const Load load = loads(e);
      candidates += load.rem > 0;
      nearest += load.rem > 0 && load.nearest_is_up();
      down_tiles += load.down() / load.tile;
    }
    std::int64_t n = 0;
    if (rule == BudgetRule::kOfNearest) {
      n = static_cast<std::int64_t>(floor(amount * static_cast<double>(nearest)));
    } else if (rule == BudgetRule::kTotalTiles) {
      n = tiles - down_tiles;
    } else {
      double dropped = 0.0;
      for (n = candidates; n > 0 && dropped + mass[order[n - 1]] <= amount; --n) dropped += mass[order[n - 1]];
    }
    result[0] = n < candidates ? n : candidates;
    result[1] = down_tiles;
  }
};

struct DecideBudget {
  Loads loads;
  const std::int32_t* place;
  const std::int64_t* round_ups;
  std::int32_t* target;
  TATR_HD void operator()(std::int64_t expert) const {
    const Load load = loads(expert);
    target[expert] = place[expert] < *round_ups ? load.up() : load.down();
  }
};

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

inline StrategyKind rule_of(const StrategyConfig& strategy) {
  const bool wraps = strategy.kind == StrategyKind::kCapacity || strategy.kind == StrategyKind::kDynamic;
  return wraps ? strategy.then : strategy.kind;
}

inline TileSteps tile_steps(const StrategyConfig& strategy, std::int64_t tile) {
  TileSteps steps;
  if (strategy.kind != StrategyKind::kDynamic) {
    steps.tile[steps.count++] = static_cast<std::int32_t>(tile);
    return steps;
  }
  for (const TileByLoad& step : strategy.tiles_by_load) {
    if (steps.count == kMaxLoadSteps) throw ConfigError(strategy.pointer + "/tiles_by_load", "more than 16 steps");
    steps.below[steps.count] = static_cast<std::int32_t>(step.below.value_or(0));
    steps.tile[steps.count++] = static_cast<std::int32_t>(step.tile);
  }
  return steps;
}

/// ceil(f T K / (E M)) M rows for `capacity`, else no limit.
inline std::int32_t capacity_rows(const StrategyConfig& strategy, const Routing& routing, std::int64_t tile) {
  if (strategy.kind != StrategyKind::kCapacity) return kMaxTokens;
  const double share = strategy.factor *
                       static_cast<double>(static_cast<std::int64_t>(routing.tokens) * routing.top_k) /
                       static_cast<double>(routing.experts * tile);
  const double rows = std::ceil(share) * static_cast<double>(tile);
  return static_cast<std::int32_t>(std::min(rows, static_cast<double>(kMaxTokens)));
}

}  // namespace tatr
