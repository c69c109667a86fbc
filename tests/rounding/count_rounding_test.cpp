#include "rounding/count_rounding.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "any_options.hpp"
#include "catch.hpp"
#include "core/error.hpp"
#include "core/philox.hpp"

using namespace tatr;

namespace {

StrategyConfig strategy_of(StrategyKind kind) {
  StrategyConfig strategy;
  strategy.kind = kind;
  test::AnyOptions options;
  options.dynamic = {StrategyKind::kNearest, {{40, 8}, {std::nullopt, 32}}};
  strategy.options = options.of(kind);
  strategy.canonical = std::string(row_of(kind).name);
  return strategy;
}

bool needs_gates(StrategyKind kind) { return kind == StrategyKind::kScore || kind == StrategyKind::kBudget; }

/// Counts of a top-k: as if tokens drew experts, some far more often than others.
std::vector<std::int32_t> counts_of(std::int64_t tokens, std::int64_t top_k, std::size_t experts, std::uint32_t draw) {
  std::vector<std::int32_t> counts(experts);
  for (std::int64_t left = tokens * top_k, i = 0; left > 0; ++i) {
    const std::uint32_t bits = random_bits(1, Stream::kTensor, static_cast<std::uint32_t>(i), draw);
    std::int32_t& count = counts[bits % experts * (bits >> 16) % experts];
    if (count < tokens) ++count, --left;
  }
  return counts;
}

}  // namespace

TEST_CASE("a routing is made that has the counts that were asked for", "[rounding][counts]") {
  const auto system = make_cpu_system(2);
  for (std::uint32_t draw = 0; draw < 50; ++draw) {
    const std::int64_t tokens = 1 + draw * 7, top_k = 1 + draw % 5;
    const auto counts = counts_of(tokens, top_k, 16, draw);
    RouterConfig router;
    router.tokens = tokens;
    router.experts = 16;
    router.top_k = top_k;
    const Routing routing = routing_with_counts(*system, {tokens, top_k, counts}, router, draw);
    CHECK(routing.counts.to_host() == counts);
    CHECK(routing.known == Known::kCounts);
    const auto chosen = routing.chosen.to_host();
    for (std::size_t token = 0; token < static_cast<std::size_t>(tokens); ++token) {
      const auto first = chosen.begin() + static_cast<std::ptrdiff_t>(token * static_cast<std::size_t>(top_k));
      std::vector<std::int32_t> own(first, first + top_k);
      std::sort(own.begin(), own.end());
      CHECK(std::adjacent_find(own.begin(), own.end()) == own.end());  // distinct
    }
  }
  RouterConfig router;
  router.tokens = 4;
  router.experts = 2;
  router.top_k = 1;
  const std::vector<std::int32_t> few = {1, 2}, many = {5, 0};
  CHECK_THROWS_AS(routing_with_counts(*system, {4, 1, few}, router, 0), std::logic_error);
  CHECK_THROWS_AS(routing_with_counts(*system, {4, 1, many}, router, 0), std::logic_error);
}

TEST_CASE("counts are rounded as a routing with them is, but for what gates decide", "[rounding][counts]") {
  const auto system = make_cpu_system(2);
  for (std::uint32_t draw = 0; draw < 20; ++draw) {
    const std::int64_t tokens = 40 + draw * 13, top_k = 1 + draw % 4;
    const auto counts = counts_of(tokens, top_k, 12, draw);
    RouterConfig router;
    router.tokens = tokens;
    router.experts = 12;
    router.top_k = top_k;
    const Routing routing = routing_with_counts(*system, {tokens, top_k, counts}, router, draw);
    for (const StrategyRow& row : kStrategies) {
      if (needs_gates(row.kind)) continue;
      for (const auto fill : {std::optional<Fill>(), std::optional(Fill::kDuplicate)}) {
        StrategyConfig strategy = strategy_of(row.kind);
        strategy.fill = fill;
        const RoundingCase one{strategy, 16, draw, 3};
        const Rounded counted = round_counts({tokens, top_k, counts}, one),
                      routed = round_routing(routing, one, *system);
        INFO(row.name << " of draw " << draw);
        CHECK(counted.metrics.counts_after == routed.metrics.counts_after);
        CHECK(counted.metrics.tiles_per_expert == routed.metrics.tiles_per_expert);
        CHECK(counted.metrics.last_tile_utilisation == routed.metrics.last_tile_utilisation);
        CHECK(counted.metrics.tile == routed.metrics.tile);
        CHECK(counted.tile_of_expert == routed.tile_of_expert);
        CHECK(counted.warnings == routed.warnings);
        for (const RoundingMetric& metric : kRoundingMetrics) {
          INFO(metric.name);
          CHECK(metric.is_known(counted.metrics) == metric.is_known(routed.metrics));
          if (metric.is_known(counted.metrics)) CHECK(metric.in(counted.metrics) == metric.in(routed.metrics));
        }
      }
    }
  }
}

TEST_CASE("sums of counts pass what can be routed", "[rounding][counts]") {
  const std::int32_t many = 1'000'000'001;
  const std::vector<std::int32_t> counts = {many, many, many, 7};
  const StrategyConfig up = strategy_of(StrategyKind::kUp), none = strategy_of(StrategyKind::kNone);
  const Rounded rounded = round_counts({3'000'000'010, 1, counts}, {up, 128, 0, 0});
  CHECK(rounded.metrics.rows == 3 * std::int64_t{1'000'000'128} + 128);  // 7'812'501 tiles of 128 rows each, and one
  CHECK(rounded.metrics.tiles == 3 * std::int64_t{7'812'501} + 1);
  CHECK(rounded.metrics.padded == 3 * 127 + 121);
  CHECK(round_counts({3'000'000'010, 1, counts}, {none, 128, 0, 0}).metrics.dropped == 0);
}

TEST_CASE("what counts do not tell has no value, and strategies that need it are refused", "[rounding][counts]") {
  const std::vector<std::int32_t> counts = {3, 5};
  const StrategyConfig down = strategy_of(StrategyKind::kDown);
  const RoundingMetrics metrics = round_counts({8, 1, counts}, {down, 4, 0, 0}).metrics;
  CHECK(metrics.dropped == 4);
  CHECK(metrics.dropped_share == 0.5);
  std::vector<std::string_view> unknown;
  for (const RoundingMetric& metric : kRoundingMetrics) {
    if (!metric.has_value(metrics)) unknown.push_back(metric.name);
  }
  CHECK(unknown == std::vector<std::string_view>{"tokens_without_expert", "experts_per_token_max", "dropped_gate_mass",
                                                 "mean_square_dropped_mass", "mean_cube_dropped_mass",
                                                 "mean_dropped_probability"});
  StrategyConfig strategy = down;
  strategy.renormalise = true;
  CHECK_THROWS_AS(round_counts({8, 1, counts}, {strategy, 4, 0, 0}), ConfigError);
  strategy = strategy_of(StrategyKind::kUp);
  strategy.fill = Fill::kNextBest;
  CHECK_THROWS_AS(round_counts({8, 1, counts}, {strategy, 4, 0, 0}), ConfigError);
  for (const StrategyKind kind : {StrategyKind::kScore, StrategyKind::kBudget}) {
    const StrategyConfig gated = strategy_of(kind);
    CHECK_THROWS_AS(round_counts({8, 1, counts}, {gated, 4, 0, 0}), ConfigError);
    CHECK_NOTHROW(check_strategy(strategy_of(StrategyKind::kBudget), Known::kGates));
    CHECK_THROWS_AS(check_strategy(gated, Known::kChoices), ConfigError);
  }
}
