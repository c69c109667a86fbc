#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "core/hash.hpp"
#include "core/philox.hpp"
#include "rounding/count_rounding.hpp"
#include "rounding/expert_metrics.hpp"
#include "rounding/targets.cuh"

namespace tatr {

namespace {

std::vector<std::int32_t> targets_of(const Loads& loads, const RoundingCase& one, std::size_t experts) {
  std::vector<std::int32_t> targets(experts);
  const StrategyKind rule = rule_of(one.strategy);
  if (rule == StrategyKind::kBalance) {
    decide_balance(
        static_cast<std::int32_t>(experts), [&](std::int32_t e) { return Deviations::of(loads(e)); },
        [&](std::int32_t e, std::int32_t taken) { targets[static_cast<std::size_t>(e)] = loads(e).kept + taken; });
    return targets;
  }
  const DecideAlone decide{rule,
                           loads,
                           one.strategy.get<AdaptiveOptions>().threshold,
                           one.seed ^ fnv1a(one.strategy.canonical),
                           static_cast<std::uint32_t>(one.layer),
                           nullptr,
                           nullptr,
                           targets.data()};
  for (std::size_t e = 0; e < experts; ++e) decide(static_cast<std::int64_t>(e));
  return targets;
}

}  // namespace

Rounded round_counts(const ExpertCounts& known, const RoundingCase& one) {
  const StrategyConfig& strategy = one.strategy;
  check_strategy(strategy, Known::kCounts);
  const auto experts = static_cast<std::int64_t>(known.counts.size());
  const std::int64_t assignments = std::accumulate(known.counts.begin(), known.counts.end(), std::int64_t{0});
  const Loads loads{known.counts.data(), capacity_rows(strategy, assignments, experts, one.tile),
                    tile_steps(strategy, one.tile)};
  const Fill fill = strategy.fill.value_or(Fill::kPad);
  const bool own_tiles = strategy.kind == StrategyKind::kDynamic;
  std::vector<std::int32_t> tiles;
  for (const std::int32_t count : known.counts) tiles.push_back(loads.tiles(count));
  Rounded result;
  RoundingMetrics& metrics = result.metrics;
  metrics.known = Known::kCounts;
  metrics.tile = own_tiles ? 0 : one.tile;
  metrics.counts_before = known.counts;
  metrics.counts_after = targets_of(loads, one, known.counts.size());
  add_expert_metrics(metrics, tiles, fill, known.tokens);
  for (std::size_t e = 0; e < known.counts.size(); ++e) {
    metrics.dropped += std::max(metrics.counts_before[e] - metrics.counts_after[e], 0);
  }
  add_shares(metrics, assignments);
  forget_unknown(metrics);
  result.warnings = padding_warnings(strategy, metrics);
  if (own_tiles) result.tile_of_expert = std::move(tiles);
  return result;
}

Routing routing_with_counts(System& system, const ExpertCounts& known, const RouterConfig& config, std::uint64_t seed) {
  const std::int64_t tokens = known.tokens, top_k = known.top_k;
  std::vector<std::pair<std::uint32_t, std::int32_t>> order;  // draws, and tokens
  for (std::int32_t token = 0; token < tokens; ++token) {
    order.emplace_back(random_bits(seed, Stream::kCounts, static_cast<std::uint32_t>(token), 0), token);
  }
  std::sort(order.begin(), order.end());
  std::vector<std::int32_t> chosen(static_cast<std::size_t>(tokens * top_k));
  std::int64_t next = 0;  // assignment: the (next / T)-th choice of the token that is next in the order
  for (std::size_t e = 0; e < known.counts.size(); ++e) {
    if (known.counts[e] > tokens || known.counts[e] > tokens * top_k - next) {
      throw std::logic_error("routing_with_counts: no routing has these counts");
    }
    for (std::int32_t i = 0; i < known.counts[e]; ++i, ++next) {
      const std::int64_t token = order[static_cast<std::size_t>(next % tokens)].second;
      chosen[static_cast<std::size_t>(token * top_k + next / tokens)] = static_cast<std::int32_t>(e);
    }
  }
  if (next != tokens * top_k) throw std::logic_error("routing_with_counts: the counts do not sum up to T K");
  Routing routing = routing_from_top_k(system, Buffer<std::int32_t>(system, chosen), {}, config);
  routing.known = Known::kCounts;
  return routing;
}

}  // namespace tatr
