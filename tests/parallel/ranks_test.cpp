// Ranks: where tokens and experts lie, what each is asked for, and that rounding apart is each rank's own rounding.
#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "any_options.hpp"
#include "catch.hpp"
#include "core/error.hpp"
#include "parallel/placement.hpp"
#include "parallel/rank_loads.hpp"
#include "parallel/rank_rounding.hpp"
#include "parity.hpp"
#include "rounding/rounding.hpp"
#include "router_shape.hpp"
#include "source/synthetic.hpp"

namespace tatr {

namespace {

constexpr std::int64_t kTokens = 1003, kExperts = 24, kTopK = 3, kTile = 16;

ParallelConfig over(std::int64_t ranks, RankRounding rounding = RankRounding::kGlobal,
                    PlacementKind placement = PlacementKind::kContiguous) {
  ParallelConfig parallel;
  parallel.ranks = ranks;
  parallel.rounding = rounding;
  parallel.placement = placement;
  return parallel;
}

StrategyConfig strategy_of(StrategyKind kind) {
  StrategyConfig strategy;
  strategy.kind = kind;
  strategy.name = row_of(kind).name;
  strategy.options = test::AnyOptions{}.of(kind);
  return strategy;
}

Routing some_routing(System& cpu) {
  return route(cpu, synthetic_logits(cpu, {}, 3, kTokens, kExperts), router_shape(kTokens, kExperts, kTopK));
}

}  // namespace

TEST_CASE("experts lie in blocks, in turns, by load or as listed", "[parallel]") {
  const std::vector<std::int32_t> counts = {9, 1, 1, 1, 8, 7, 1};
  CHECK(place_experts(over(3), counts) == std::vector<std::int32_t>{0, 0, 0, 1, 1, 2, 2});
  CHECK(place_experts(over(3, {}, PlacementKind::kRoundRobin), counts) ==
        std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, 0});
  // 9, 8, 7 apart; then each 1 to the rank with the fewest rows that has fewer than 3 experts.
  CHECK(place_experts(over(3, {}, PlacementKind::kByLoad), counts) == std::vector<std::int32_t>{0, 2, 1, 2, 1, 2, 0});
  ParallelConfig listed = over(2, {}, PlacementKind::kListed);
  listed.listed = {1, 0, 1, 0, 1, 0, 1};
  CHECK(place_experts(listed, counts) == listed.listed);
}

TEST_CASE("no placement of as many experts a rank has less on its busiest rank than a bound by load", "[parallel]") {
  const std::vector<std::int32_t> counts = {13, 2, 9, 9, 4, 4, 1, 6};
  const std::vector<std::int32_t> rank_of = place_experts(over(4, {}, PlacementKind::kByLoad), counts);
  std::array<std::int32_t, 4> rows{}, experts{};
  for (std::size_t e = 0; e < counts.size(); ++e) {
    rows[static_cast<std::size_t>(rank_of[e])] += counts[e];
    ++experts[static_cast<std::size_t>(rank_of[e])];
  }
  CHECK(experts == std::array<std::int32_t, 4>{2, 2, 2, 2});
  CHECK(*std::max_element(rows.begin(), rows.end()) == 14);  // 13 + 1: the fullest expert cannot stand with less
}

TEST_CASE("tokens lie in contiguous blocks that differ by one at most", "[parallel]") {
  for (const std::int64_t ranks : {1, 3, 7, 64}) {
    CHECK(first_token_of(0, kTokens, ranks) == 0);
    CHECK(first_token_of(ranks, kTokens, ranks) == kTokens);
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const std::int64_t size = first_token_of(rank + 1, kTokens, ranks) - first_token_of(rank, kTokens, ranks);
      CHECK((size == kTokens / ranks || size == kTokens / ranks + 1));
    }
  }
}

TEST_CASE("loads are those that counting pair by pair gives", "[parallel]") {
  const auto cpu = make_cpu_system(2);
  const Routing routing = some_routing(*cpu);
  for (const StrategyKind kind : {StrategyKind::kNone, StrategyKind::kNearest, StrategyKind::kUp}) {
    StrategyConfig strategy = strategy_of(kind);
    if (kind == StrategyKind::kUp) strategy.fill = Fill::kPad;
    const Rounded rounded = round_routing(routing, {strategy, kTile, 1, 0}, *cpu);
    const HostDispatch dispatch{rounded.dispatch.offsets.to_host(), rounded.dispatch.token.to_host()};
    constexpr std::int64_t kRanks = 5;
    const std::vector<std::int32_t> rank_of =
        place_experts(over(kRanks, {}, PlacementKind::kRoundRobin), rounded.metrics.counts_before);
    const std::vector<RankLoad> loads =
        rank_loads(dispatch, rounded.metrics.tiles_per_expert, rank_of, kTokens, kRanks);
    std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> rows;  // by source and destination
    std::set<std::array<std::int64_t, 3>> copies;                        // source, destination, token
    std::vector<RankLoad> expected(kRanks);
    for (std::size_t e = 0; e < rank_of.size(); ++e) {
      RankLoad& own = expected[static_cast<std::size_t>(rank_of[e])];
      ++own.experts;
      own.tiles += rounded.metrics.tiles_per_expert[e];
      own.rows += rounded.metrics.counts_after[e];
      for (std::int32_t row = dispatch.offsets[e]; row < dispatch.offsets[e + 1]; ++row) {
        const std::int32_t token = dispatch.token[static_cast<std::size_t>(row)];
        if (token < 0) continue;
        std::int64_t source = 0;
        while (first_token_of(source + 1, kTokens, kRanks) <= token) ++source;
        if (source == rank_of[e]) continue;
        ++rows[{source, rank_of[e]}];
        copies.insert({source, rank_of[e], token});
      }
    }
    for (const auto& [ends, count] : rows) {
      expected[static_cast<std::size_t>(ends.first)].sent_rows += count;
      expected[static_cast<std::size_t>(ends.second)].received_rows += count;
    }
    for (const auto& copy : copies) {
      ++expected[static_cast<std::size_t>(copy[0])].sent_copies;
      ++expected[static_cast<std::size_t>(copy[1])].received_copies;
    }
    for (std::size_t rank = 0; rank < loads.size(); ++rank) {
      const RankLoad &a = loads[rank], &b = expected[rank];
      CHECK(std::array{a.experts, a.tiles, a.rows, a.sent_rows, a.received_rows, a.sent_copies, a.received_copies} ==
            std::array{b.experts, b.tiles, b.rows, b.sent_rows, b.received_rows, b.sent_copies, b.received_copies});
    }
  }
}

TEST_CASE("rounded once for all ranks is rounded as without ranks", "[parallel]") {
  const auto cpu = make_cpu_system(2);
  const Routing routing = some_routing(*cpu);
  const StrategyConfig strategy = strategy_of(StrategyKind::kNearest);
  CHECK(test::difference(round_on_ranks(routing, {strategy, kTile, 1, 0}, over(4), *cpu),
                         round_routing(routing, {strategy, kTile, 1, 0}, *cpu))
            .empty());
}

TEST_CASE("of one rank, rounding apart is rounding", "[parallel]") {
  const auto cpu = make_cpu_system(2);
  const Routing routing = some_routing(*cpu);
  for (const StrategyRow& row : kStrategies) {
    if (row.kind == StrategyKind::kDynamic) continue;
    INFO(row.name);
    for (const bool fills : {true, false}) {
      StrategyConfig strategy = strategy_of(row.kind);
      if (!fills) strategy.fill = Fill::kDuplicate;
      const Rounded apart = round_on_ranks(routing, {strategy, kTile, 1, 0}, over(1, RankRounding::kPerRank), *cpu);
      const Rounded plain = round_routing(routing, {strategy, kTile, 1, 0}, *cpu);
      CHECK(test::difference(apart, plain).empty());
      for (const RoundingMetric& metric : kRoundingMetrics) {
        INFO(metric.name);
        CHECK(metric.in(apart.metrics) == Approx(metric.in(plain.metrics)).epsilon(1e-14));
      }
      CHECK(apart.metrics.tiles_per_expert == plain.metrics.tiles_per_expert);
      CHECK(apart.metrics.last_tile_utilisation == plain.metrics.last_tile_utilisation);
    }
  }
}

TEST_CASE("each rank's rows are those of its tokens, rounded without the others", "[parallel]") {
  const auto cpu = make_cpu_system(2);
  std::vector<float> logits = synthetic_logits(*cpu, {}, 3, kTokens, kExperts).to_host();
  const Routing routing = route(*cpu, Buffer<float>(*cpu, logits), router_shape(kTokens, kExperts, kTopK));
  constexpr std::int64_t kRanks = 4;
  for (const StrategyKind kind : {StrategyKind::kNearest, StrategyKind::kStochastic, StrategyKind::kUp}) {
    const StrategyConfig strategy = strategy_of(kind);
    const Rounded joined = round_on_ranks(routing, {strategy, kTile, 7, 2}, over(kRanks, RankRounding::kPerRank), *cpu);
    const std::vector<std::int32_t> offsets = joined.dispatch.offsets.to_host();
    const std::vector<std::int32_t> token = joined.dispatch.token.to_host();
    const std::vector<float> gate = joined.dispatch.gate.to_host();
    std::vector<std::int32_t> place(offsets.begin(), offsets.end() - 1);
    std::int64_t dropped = 0, added = 0;
    double mass = 0.0;
    for (std::int64_t rank = 0; rank < kRanks; ++rank) {
      const std::int64_t first = first_token_of(rank, kTokens, kRanks),
                         last = first_token_of(rank + 1, kTokens, kRanks);
      const std::vector<float> own(logits.begin() + first * kExperts, logits.begin() + last * kExperts);
      const Routing part = route(*cpu, Buffer<float>(*cpu, own), router_shape(last - first, kExperts, kTopK));
      const Rounded rounded = round_routing(part, {strategy, kTile, 7 + static_cast<std::uint64_t>(rank), 2}, *cpu);
      const std::vector<std::int32_t> rank_offsets = rounded.dispatch.offsets.to_host();
      const std::vector<std::int32_t> rank_token = rounded.dispatch.token.to_host();
      const std::vector<float> rank_gate = rounded.dispatch.gate.to_host();
      for (std::size_t e = 0; e < place.size(); ++e) {
        for (std::int32_t row = rank_offsets[e]; row < rank_offsets[e + 1]; ++row, ++place[e]) {
          const auto from = static_cast<std::size_t>(row), to = static_cast<std::size_t>(place[e]);
          REQUIRE(token[to] == (rank_token[from] < 0 ? -1 : rank_token[from] + first));
          REQUIRE(gate[to] == rank_gate[from]);
        }
      }
      dropped += rounded.metrics.dropped;
      added += rounded.metrics.added;
      mass += rounded.metrics.dropped_gate_mass * static_cast<double>(last - first);
    }
    CHECK(std::equal(place.begin(), place.end(), offsets.begin() + 1));
    CHECK(joined.metrics.dropped == dropped);
    CHECK(joined.metrics.added == added);
    CHECK(joined.metrics.dropped_gate_mass == Approx(mass / kTokens));
    CHECK(joined.metrics.tile_utilisation == Approx(1.0).margin(kind == StrategyKind::kUp ? 0.2 : 0.0));
  }
}

TEST_CASE("padded fragments lose nothing and are whole tiles for each source and expert", "[parallel]") {
  const auto cpu = make_cpu_system(2);
  const Routing routing = some_routing(*cpu);
  constexpr std::int64_t kRanks = 3;
  const StrategyConfig none = strategy_of(StrategyKind::kNone);
  const Rounded padded = round_on_ranks(routing, {none, kTile, 1, 0}, over(kRanks, RankRounding::kPerFragment), *cpu);
  const std::vector<std::int32_t> chosen = routing.chosen.to_host();
  std::vector<std::int64_t> tiles(kExperts, 0);
  for (std::int64_t rank = 0; rank < kRanks; ++rank) {
    std::vector<std::int64_t> counts(kExperts, 0);
    for (std::int64_t i = first_token_of(rank, kTokens, kRanks) * kTopK;
         i < first_token_of(rank + 1, kTokens, kRanks) * kTopK; ++i) {
      ++counts[static_cast<std::size_t>(chosen[static_cast<std::size_t>(i)])];
    }
    for (std::size_t e = 0; e < tiles.size(); ++e) tiles[e] += (counts[e] + kTile - 1) / kTile;
  }
  CHECK(std::equal(tiles.begin(), tiles.end(), padded.metrics.tiles_per_expert.begin()));
  CHECK(padded.metrics.tiles == std::accumulate(tiles.begin(), tiles.end(), std::int64_t{0}));
  CHECK(padded.metrics.dropped == 0);
  CHECK(padded.metrics.added == 0);
  CHECK(padded.metrics.padded == padded.metrics.tiles * kTile - kTokens * kTopK);
  CHECK(padded.metrics.dropped_gate_mass == 0.0);
}

TEST_CASE("what ranks that round apart cannot do is refused", "[parallel]") {
  CHECK_THROWS_AS(check_rank_rounding(over(2), strategy_of(StrategyKind::kNone), Known::kCounts), ConfigError);
  CHECK_THROWS_AS(
      check_rank_rounding(over(2, RankRounding::kPerFragment), strategy_of(StrategyKind::kNearest), Known::kScores),
      ConfigError);
  CHECK_THROWS_AS(
      check_rank_rounding(over(2, RankRounding::kPerRank), strategy_of(StrategyKind::kDynamic), Known::kScores),
      ConfigError);
  CHECK_NOTHROW(check_rank_rounding(over(2), strategy_of(StrategyKind::kDynamic), Known::kScores));
}

}  // namespace tatr
