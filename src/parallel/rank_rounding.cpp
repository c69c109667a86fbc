#include "parallel/rank_rounding.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "parallel/placement.hpp"
#include "rounding/expert_metrics.hpp"

namespace tatr {

namespace {

/// Of one rank: what it made of its tokens, on the host.
struct OfRank {
  std::int64_t first_token = 0, tokens = 0;
  RoundingMetrics metrics;
  std::vector<std::int32_t> offsets, token;
  std::vector<float> gate;
  std::vector<std::int32_t> useful;  // [E] rows that are neither padding nor repeated
};

/// Adds a rank's sums to those of all; its means by its tokens.
void add_sums(RoundingMetrics& all, const RoundingMetrics& rank, double share_of_tokens) {
  for (std::size_t e = 0; e < all.counts_before.size(); ++e) {
    all.counts_before[e] += rank.counts_before[e];
    all.counts_after[e] += rank.counts_after[e];
  }
  all.dropped += rank.dropped;
  all.added += rank.added;
  all.padded += rank.padded;
  all.duplicated += rank.duplicated;
  all.tokens_without_expert += rank.tokens_without_expert;
  all.experts_per_token_max = std::max(all.experts_per_token_max, rank.experts_per_token_max);
  all.dropped_gate_mass += rank.dropped_gate_mass * share_of_tokens;
  all.mean_square_dropped_mass += rank.mean_square_dropped_mass * share_of_tokens;
  all.mean_cube_dropped_mass += rank.mean_cube_dropped_mass * share_of_tokens;
  if (rank.dropped > 0)
    all.mean_dropped_probability += rank.mean_dropped_probability * static_cast<double>(rank.dropped);
}

RoundingMetrics join_metrics(const std::vector<OfRank>& ranks, std::int64_t tile, std::int64_t tokens,
                             std::int64_t top_k) {
  const RoundingMetrics& first = ranks.front().metrics;
  const std::size_t experts = first.counts_before.size();
  RoundingMetrics all;
  all.known = first.known;
  all.tile = tile;
  all.counts_before.assign(experts, 0);
  all.counts_after.assign(experts, 0);
  std::vector<std::int32_t> useful(experts, 0);
  for (const OfRank& rank : ranks) {
    add_sums(all, rank.metrics, static_cast<double>(rank.tokens) / static_cast<double>(tokens));
    for (std::size_t e = 0; e < experts; ++e) useful[e] += rank.useful[e];
  }
  add_tile_metrics(all, std::vector<std::int32_t>(experts, static_cast<std::int32_t>(tile)), useful);
  add_shares(all, tokens * top_k);
  all.mean_dropped_probability =
      all.dropped == 0 ? 0.0 : all.mean_dropped_probability / static_cast<double>(all.dropped);
  forget_unknown(all);
  return all;
}

Dispatch join_rows(System& system, const std::vector<OfRank>& ranks, std::size_t experts) {
  std::vector<std::int32_t> offsets = {0}, token;
  std::vector<float> gate;
  for (std::size_t e = 0; e < experts; ++e) {
    for (const OfRank& rank : ranks) {
      for (std::int32_t row = rank.offsets[e]; row < rank.offsets[e + 1]; ++row) {
        const std::int32_t own = rank.token[static_cast<std::size_t>(row)];
        token.push_back(own < 0 ? own : own + static_cast<std::int32_t>(rank.first_token));
        gate.push_back(rank.gate[static_cast<std::size_t>(row)]);
      }
    }
    offsets.push_back(static_cast<std::int32_t>(token.size()));
  }
  Dispatch dispatch;
  dispatch.rows = offsets.back();
  dispatch.offsets = Buffer<std::int32_t>(system, offsets);
  dispatch.token = Buffer<std::int32_t>(system, token);
  dispatch.gate = Buffer<float>(system, gate);
  return dispatch;
}

/// What ranks do that pad each expert's tokens.
StrategyConfig padding_strategy(const StrategyConfig& none) {
  StrategyConfig padding = none;
  padding.kind = StrategyKind::kUp;
  padding.fill = Fill::kPad;
  return padding;
}

}  // namespace

void check_rank_rounding(const ParallelConfig& parallel, const StrategyConfig& strategy, Known known) {
  if (known == Known::kCounts) {
    throw ConfigError(parallel.place, "counts of tokens per expert do not tell which rank they come from");
  }
  if (parallel.rounding == RankRounding::kPerFragment && strategy.kind != StrategyKind::kNone) {
    throw ConfigError(strategy.place, "\"" + strategy.name +
                                          "\" is not allowed where /parallel/rounding is "
                                          "\"per_fragment\", which pads and decides nothing; expected \"none\"");
  }
  const BudgetTiles& tiles = strategy.get<BudgetOptions>().tiles;
  const bool counted = std::holds_alternative<BudgetTotalTiles>(tiles) || std::holds_alternative<BudgetWaves>(tiles);
  if (parallel.rounding == RankRounding::kPerRank && strategy.kind == StrategyKind::kBudget && counted) {
    throw ConfigError(strategy.place.child("tiles"),
                      "a number of tiles is not allowed where /parallel/rounding is \"per_rank\": each rank would take "
                      "it; expected \"as_nearest\", \"assignments\", \"of_nearest\" or \"max_dropped_mass\"");
  }
  if (parallel.rounding == RankRounding::kPerRank && strategy.kind == StrategyKind::kDynamic) {
    throw ConfigError(strategy.place,
                      "\"dynamic\" is not allowed where /parallel/rounding is \"per_rank\": ranks would "
                      "choose different tiles for one expert");
  }
}

Rounded round_on_ranks(const Routing& routing, const RoundingCase& one, const ParallelConfig& parallel,
                       System& system) {
  check_rank_rounding(parallel, one.strategy, routing.known);
  if (parallel.rounding == RankRounding::kGlobal) return round_routing(routing, one, system);
  const StrategyConfig padding = padding_strategy(one.strategy);
  const StrategyConfig& strategy = parallel.rounding == RankRounding::kPerFragment ? padding : one.strategy;
  std::vector<OfRank> ranks;
  Rounded joined;
  for (std::int64_t rank = 0; rank < parallel.ranks; ++rank) {
    OfRank own;
    own.first_token = first_token_of(rank, routing.tokens, parallel.ranks);
    own.tokens = first_token_of(rank + 1, routing.tokens, parallel.ranks) - own.first_token;
    const Routing part = tokens_of(system, routing, own.first_token, own.tokens);
    const Rounded rounded =
        round_routing(part, {strategy, one.tile, one.seed + static_cast<std::uint64_t>(rank), one.layer}, system);
    own.metrics = rounded.metrics;
    own.offsets = rounded.dispatch.offsets.to_host();
    own.token = rounded.dispatch.token.to_host();
    own.gate = rounded.dispatch.gate.to_host();
    own.useful = useful_rows(rounded.metrics, fill_of(strategy, part), own.tokens);
    for (const std::string& warning : rounded.warnings) {
      if (std::find(joined.warnings.begin(), joined.warnings.end(), warning) == joined.warnings.end())
        joined.warnings.push_back(warning);
    }
    ranks.push_back(std::move(own));
  }
  joined.metrics = join_metrics(ranks, one.tile, routing.tokens, routing.top_k);
  joined.dispatch = join_rows(system, ranks, static_cast<std::size_t>(routing.experts));
  return joined;
}

}  // namespace tatr
