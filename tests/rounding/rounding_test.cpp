// Hand-computed cases and properties of the strategies. Values against an independent reference: golden_test.cpp.
#include "rounding/rounding.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "catch.hpp"
#include "core/error.hpp"
#include "core/integer_math.hpp"
#include "router_shape.hpp"
#include "source/synthetic.hpp"

using namespace tatr;

namespace {

StrategyConfig strategy(StrategyKind kind) {
  StrategyConfig config;
  config.kind = kind;
  config.place = {"test", "/strategies/0"};
  return config;
}

/// Top-1 routing in which expert e gets counts[e] tokens, in token order; gates fall with the token index.
Routing routing_with_counts(System& cpu, const std::vector<int>& counts) {
  const auto experts = static_cast<std::int64_t>(counts.size());
  std::vector<float> logits;
  std::int64_t tokens = 0;
  for (std::size_t e = 0; e < counts.size(); ++e) {
    for (int i = 0; i < counts[e]; ++i, ++tokens) {
      std::vector<float> row(counts.size(), 0.0f);
      row[e] = 5.0f - 0.01f * static_cast<float>(i);
      logits.insert(logits.end(), row.begin(), row.end());
    }
  }
  RouterConfig config = router_shape(tokens, experts, 1);
  config.normalise_gates = false;
  return route(cpu, Buffer<float>(cpu, logits), config);
}

std::vector<std::int32_t> targets(System& cpu, const std::vector<int>& counts, const StrategyConfig& config,
                                  std::int64_t tile) {
  return round_routing(routing_with_counts(cpu, counts), {config, tile, 1, 0}, cpu).metrics.counts_after;
}

using Counts = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("the simple strategies pick the targets of the specification") {
  const auto cpu = make_cpu_system(1);
  const std::vector<int> counts = {0, 3, 8, 12, 13, 31};  // remainders at tile 8: 0 3 0 4 5 7
  CHECK(targets(*cpu, counts, strategy(StrategyKind::kNone), 8) == Counts{0, 3, 8, 12, 13, 31});
  CHECK(targets(*cpu, counts, strategy(StrategyKind::kDown), 8) == Counts{0, 0, 8, 8, 8, 24});
  CHECK(targets(*cpu, counts, strategy(StrategyKind::kUp), 8) == Counts{0, 8, 8, 16, 16, 32});
  CHECK(targets(*cpu, counts, strategy(StrategyKind::kNearest), 8) == Counts{0, 0, 8, 8, 16, 32});
  // 4, 12 and 20 of 8: half a tile more than 0, 1 and 2 tiles.
  CHECK(targets(*cpu, {3, 4, 5, 12, 20, 31}, strategy(StrategyKind::kNearestEven), 8) == Counts{0, 0, 8, 16, 16, 32});
  StrategyConfig adaptive = strategy(StrategyKind::kAdaptive);
  CHECK(targets(*cpu, counts, adaptive, 8) == Counts{0, 0, 8, 8, 8, 24});
  adaptive.options = AdaptiveOptions{0.5};  // 4/8 is not above it, 5/8 is
  CHECK(targets(*cpu, counts, adaptive, 8) == Counts{0, 0, 8, 8, 16, 32});
}

TEST_CASE("balance keeps the running deviation near zero") {
  const auto cpu = make_cpu_system(1);
  // Deviations: 3 -> -3 (z = -3); 12: up +4 gives 1, down -4 gives -7 -> up (z = 1); 13: up +3 gives 4, down -5 gives
  // -4: equal, so down (z = -4); 31: up +1 gives -3, down -7 gives -11 -> up.
  CHECK(targets(*cpu, {3, 12, 13, 31}, strategy(StrategyKind::kBalance), 8) == Counts{0, 16, 8, 32});
}

TEST_CASE("stochastic goes up about as often as the remainder says") {
  const auto cpu = make_cpu_system(1);
  std::vector<int> counts(400, 6);
  int up = 0;
  for (const auto target : targets(*cpu, counts, strategy(StrategyKind::kStochastic), 8)) up += target == 8;
  CHECK(up > 270);
  CHECK(up < 330);
}

TEST_CASE("capacity limits an expert first, then rounds") {
  const auto cpu = make_cpu_system(1);
  StrategyConfig capacity = strategy(StrategyKind::kCapacity);
  capacity.options = CapacityOptions{1.0, StrategyKind::kUp};
  // 48 tokens on 3 experts: ceil(48 / (3 * 8)) * 8 = 16 rows.
  CHECK(targets(*cpu, {40, 5, 3}, capacity, 8) == Counts{16, 8, 8});
  capacity.options = CapacityOptions{1.0, StrategyKind::kDown};
  CHECK(targets(*cpu, {40, 5, 3}, capacity, 8) == Counts{16, 0, 0});
}

TEST_CASE("dynamic gives each expert the tile of its load") {
  const auto cpu = make_cpu_system(1);
  StrategyConfig dynamic = strategy(StrategyKind::kDynamic);
  dynamic.options = DynamicOptions{StrategyKind::kDown, {{10, 8}, {21, 16}, {std::nullopt, 32}}};
  const Rounded rounded = round_routing(routing_with_counts(*cpu, {9, 20, 21, 70}), {dynamic, 8, 1, 0}, *cpu);
  CHECK(rounded.metrics.counts_after == Counts{8, 16, 0, 64});
  CHECK(rounded.metrics.tiles_per_expert == Counts{1, 1, 0, 2});
  CHECK(rounded.metrics.tile == 0);
}

TEST_CASE("budget rounds up where the most is at stake, as many as it is told") {
  const auto cpu = make_cpu_system(1);
  StrategyConfig budget = strategy(StrategyKind::kBudget);
  const std::vector<int> counts = {10, 15, 8, 13, 9};  // remainders 2 7 0 5 1; nearest rounds two up
  CHECK(targets(*cpu, counts, budget, 8) == Counts{8, 16, 8, 16, 8});
  budget.options = BudgetOptions{.tiles = BudgetOfNearest{0.5}};
  CHECK(targets(*cpu, counts, budget, 8) == Counts{8, 16, 8, 8, 8});
  budget.options = BudgetOptions{.tiles = BudgetOfNearest{100}};
  CHECK(targets(*cpu, counts, budget, 8) == Counts{16, 16, 8, 16, 16});
  budget.options = BudgetOptions{.tiles = BudgetTotalTiles{8}};  // down needs 5
  CHECK(targets(*cpu, counts, budget, 8) == Counts{16, 16, 8, 16, 8});
  budget.options = BudgetOptions{.tiles = BudgetAssignments{}};  // 55 / 8 = 6 whole tiles, one more than down's
  CHECK(targets(*cpu, counts, budget, 8) == Counts{8, 16, 8, 8, 8});
  budget.options = BudgetOptions{.candidates = BudgetCandidates::kTiles, .tiles = BudgetAssignments{}};
  const Counts among_tiles = targets(*cpu, counts, budget, 8);
  CHECK(std::accumulate(among_tiles.begin(), among_tiles.end(), 0) == 6 * 8);
  budget.options = BudgetOptions{.tiles = BudgetTotalTiles{4}};
  try {
    targets(*cpu, counts, budget, 8);
    FAIL("no error");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("the least is 5") != std::string::npos);
  }
}

TEST_CASE("budget with a limit on the dropped mass rounds up the fewest experts that keep it") {
  const auto cpu = make_cpu_system(1);
  const Routing routing = routing_with_counts(*cpu, {10, 15, 8, 13, 9});
  StrategyConfig budget = strategy(StrategyKind::kBudget);
  double previous = 1e9;
  for (const double limit : {0.0, 0.02, 0.05, 0.1, 1.0}) {
    budget.options = BudgetOptions{.tiles = BudgetMaxDroppedMass{limit}};
    const RoundingMetrics metrics = round_routing(routing, {budget, 8, 1, 0}, *cpu).metrics;
    CHECK(metrics.dropped_gate_mass <= limit + 1e-12);
    CHECK(static_cast<double>(metrics.tiles) <= previous);
    previous = static_cast<double>(metrics.tiles);
  }
  CHECK(previous == 5);
}

TEST_CASE("rows: own tokens by gate, then the best of the others by score") {
  const auto cpu = make_cpu_system(1);
  // Expert 0 has tokens 0 and 1; of the others, token 3 scores it highest, then 2.
  RouterConfig config = router_shape(4, 2, 1);
  config.scoring = Scoring::kSigmoid;
  config.normalise_gates = false;
  const Routing routing = route(*cpu, Buffer<float>(*cpu, std::vector<float>{1, 0, 2, 0, -2, 0, -1, 0}), config);
  StrategyConfig up = strategy(StrategyKind::kUp);
  Rounded rounded = round_routing(routing, {up, 8, 1, 0}, *cpu);
  CHECK(rounded.dispatch.offsets.to_host() == Counts{0, 8, 16});
  const auto token = rounded.dispatch.token.to_host();
  CHECK(Counts(token.begin(), token.begin() + 8) == Counts{1, 0, 3, 2, -1, -1, -1, -1});
  CHECK(rounded.dispatch.gate.to_host()[2] == routing.score_view()(3, 0));
  CHECK(rounded.metrics.added == 4);
  CHECK(rounded.metrics.padded == 8);
  CHECK(rounded.warnings.size() == 1);
  CHECK(rounded.metrics.tile_utilisation == Approx(0.5));

  up.fill = Fill::kDuplicate;
  rounded = round_routing(routing, {up, 8, 1, 0}, *cpu);
  const auto duplicated = rounded.dispatch.token.to_host();
  CHECK(Counts(duplicated.begin(), duplicated.begin() + 8) == Counts{1, 0, 1, 0, 1, 0, 1, 0});
  CHECK(rounded.dispatch.gate.to_host()[2] == 0.0f);
  CHECK(rounded.metrics.duplicated == 12);

  up.fill = Fill::kPad;
  rounded = round_routing(routing, {up, 8, 1, 0}, *cpu);
  CHECK(rounded.dispatch.token.to_host()[2] == -1);
  CHECK(rounded.metrics.padded == 12);
}

TEST_CASE("added rows weigh their score, or its share of the chosen scores") {
  const auto cpu = make_cpu_system(1);
  // Sigmoid of 0, top-1 each: token 0 chose expert 0 with p = 0.5, token 1 expert 1 with 0.75 (logit ln 3).
  RouterConfig config = router_shape(2, 3, 1);
  config.scoring = Scoring::kSigmoid;
  const float third = 1.0986123f;
  const std::vector<float> logits = {0, -third, -9, -third, third, -9};
  const Routing routing = route(*cpu, Buffer<float>(*cpu, logits), config);
  StrategyConfig up = strategy(StrategyKind::kUp);
  const auto gates = [&] { return round_routing(routing, {up, 8, 1, 0}, *cpu).dispatch.gate.to_host(); };
  CHECK(gates()[0] == 1.0f);
  CHECK(gates()[1] == Approx(0.25));  // of token 1 at expert 0
  CHECK(gates()[9] == Approx(0.25));  // of token 0 at expert 1
  up.added_gate = AddedGate::kNormalised;
  CHECK(gates()[0] == 1.0f);
  CHECK(gates()[1] == Approx(0.25 / 0.75));
  CHECK(gates()[9] == Approx(0.25 / 0.5));
  up.renormalise = true;
  CHECK(gates()[9] == Approx(0.5 / 1.5));

  // A bias makes token 0 choose expert 2, at a score of next to nothing; at expert 0 it would have 0.5.
  config.selection_bias = {0, 0, 0.7};
  const Routing biased = route(*cpu, Buffer<float>(*cpu, std::vector<float>{0, -9, -9, 3, -9, -9}), config);
  up.renormalise = false;
  const Rounded rounded = round_routing(biased, {up, 8, 1, 0}, *cpu);
  CHECK(rounded.dispatch.token.to_host()[1] == 0);
  CHECK(rounded.dispatch.gate.to_host()[1] == 1.0f);  // no more than all of a token's own gates
}

TEST_CASE("what an added row weighs decides what else looks at it") {
  const auto cpu = make_cpu_system(1);
  RouterConfig config = router_shape(600, 32, 4);
  config.scoring = Scoring::kSigmoid;
  const Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 5, 600, 32), config);
  // Of the rows that would be added, raw scores outweigh own gates by about K, so `score` seldom goes up.
  StrategyConfig score = strategy(StrategyKind::kScore);
  const auto raw = round_routing(routing, {score, 32, 1, 0}, *cpu).metrics;
  score.added_gate = AddedGate::kNormalised;
  const auto normalised = round_routing(routing, {score, 32, 1, 0}, *cpu).metrics;
  CHECK(raw.added < normalised.added);
  // Among tiles, raw scores make partly filled tiles look fuller than full ones.
  StrategyConfig tiles = strategy(StrategyKind::kBudget);
  tiles.options = BudgetOptions{.candidates = BudgetCandidates::kTiles};
  const auto by_raw = round_routing(routing, {tiles, 32, 1, 0}, *cpu).metrics;
  tiles.added_gate = AddedGate::kNormalised;
  const auto by_normalised = round_routing(routing, {tiles, 32, 1, 0}, *cpu).metrics;
  CHECK(by_raw.tiles == by_normalised.tiles);
  CHECK(by_raw.dropped_gate_mass > by_normalised.dropped_gate_mass);
}

TEST_CASE("dropped metrics are those of the lowest-ranked tokens") {
  const auto cpu = make_cpu_system(1);
  const Routing routing = routing_with_counts(*cpu, {10, 8});
  const auto gates = routing.gates.to_host();
  const Rounded rounded = round_routing(routing, {strategy(StrategyKind::kDown), 8, 1, 0}, *cpu);
  const double mass = static_cast<double>(gates[8]) + gates[9];
  CHECK(rounded.metrics.dropped == 2);
  CHECK(rounded.metrics.dropped_share == Approx(2.0 / 18));
  CHECK(rounded.metrics.dropped_gate_mass == Approx(mass / 18));
  CHECK(rounded.metrics.mean_dropped_probability == Approx(mass / 2));
  CHECK(rounded.metrics.tokens_without_expert == 2);
  CHECK(rounded.metrics.starved_experts == 0);
  CHECK(rounded.metrics.rounding_loss == Approx((2.0 / 8 + 0) / 2));
}

TEST_CASE("renormalise gives each token its sum of gates back") {
  const auto cpu = make_cpu_system();
  const Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 3, 500, 20), router_shape(500, 20, 4));
  StrategyConfig nearest = strategy(StrategyKind::kNearest);
  nearest.renormalise = true;
  const Rounded rounded = round_routing(routing, {nearest, 16, 1, 0}, *cpu);
  std::map<int, double> sums;
  const auto token = rounded.dispatch.token.to_host();
  const auto gate = rounded.dispatch.gate.to_host();
  for (std::size_t i = 0; i < token.size(); ++i) sums[token[i]] += gate[i];
  for (const auto& [t, sum] : sums) REQUIRE(sum == Approx(1.0).epsilon(1e-5));
}

TEST_CASE("properties of every strategy on every source") {
  const auto cpu = make_cpu_system();
  for (const SourceOptions& options :
       {SourceOptions(GaussianSource{}), SourceOptions(ZipfSource{}), SourceOptions(TopicsSource{})}) {
    SourceConfig source;
    source.options = options;
    const Routing routing = route(*cpu, synthetic_logits(*cpu, source, 9, 700, 40), router_shape(700, 40, 4));
    const auto counts = routing.counts.to_host();
    for (const StrategyKind kind :
         {StrategyKind::kNone, StrategyKind::kDown, StrategyKind::kUp, StrategyKind::kNearest, StrategyKind::kAdaptive,
          StrategyKind::kStochastic, StrategyKind::kScore, StrategyKind::kBalance, StrategyKind::kBudget}) {
      for (const std::int64_t tile : {8, 64, 128}) {
        const Rounded rounded = round_routing(routing, {strategy(kind), tile, 1, 0}, *cpu);
        const auto& after = rounded.metrics.counts_after;
        const auto offsets = rounded.dispatch.offsets.to_host();
        const auto token = rounded.dispatch.token.to_host();
        for (std::size_t e = 0; e < counts.size(); ++e) {
          REQUIRE(std::abs(after[e] - counts[e]) < tile);
          if (kind != StrategyKind::kNone) REQUIRE(after[e] % tile == 0);
          if (counts[e] == 0 || counts[e] % tile == 0) REQUIRE(after[e] == counts[e]);
          std::set<int> seen;  // next_best never takes a token twice
          for (int row = offsets[e]; row < offsets[e + 1]; ++row) {
            if (token[row] >= 0) REQUIRE(seen.insert(token[row]).second);
          }
        }
        const RoundingMetrics& m = rounded.metrics;
        REQUIRE(m.rows == 700 * 4 - m.dropped + m.added + m.padded + m.duplicated);
        REQUIRE(m.wasted_flops == Approx(1 - m.tile_utilisation));
      }
    }
  }
}

TEST_CASE("a routing that lacks the scores of all experts pads, and says what it cannot do") {
  const auto cpu = make_cpu_system(1);
  const std::vector<std::int32_t> chosen = {0, 0, 1};
  const std::vector<float> scores = {0.5f, 0.25f, 0.5f};
  const Routing routing =
      routing_from_top_k(*cpu, Buffer<std::int32_t>(*cpu, chosen), Buffer<float>(*cpu, scores), router_shape(3, 2, 1));
  const Rounded rounded = round_routing(routing, {strategy(StrategyKind::kUp), 8, 1, 0}, *cpu);
  CHECK(rounded.metrics.padded == 13);
  CHECK(rounded.warnings.size() == 1);
  CHECK_THROWS_AS(round_routing(routing, {strategy(StrategyKind::kScore), 8, 1, 0}, *cpu), ConfigError);
  StrategyConfig next_best = strategy(StrategyKind::kUp);
  next_best.fill = Fill::kNextBest;
  CHECK_THROWS_AS(round_routing(routing, {next_best, 8, 1, 0}, *cpu), ConfigError);
}

TEST_CASE("scratch takes the bytes it says, and with the routing at most three times the logits") {
  const auto cpu = make_cpu_system(2);
  constexpr std::int64_t kTokens = 16384, kExperts = 256, kTopK = 8, kTile = 128;
  const std::size_t logits = kTokens * kExperts * sizeof(float);
  const Routing routing =
      route(*cpu, synthetic_logits(*cpu, {}, 1, kTokens, kExperts), router_shape(kTokens, kExperts, kTopK));
  const std::size_t routed = cpu->bytes_in_use() - logits;
  const RoundingScratch scratch(*cpu, kTokens, kExperts, kTopK, kTile);
  const std::size_t taken = cpu->bytes_in_use() - logits - routed;
  CHECK(taken == RoundingScratch::bytes(*cpu, kTokens, kExperts, kTopK, kTile));
  CHECK(routed + taken <= 3 * logits);
}

TEST_CASE("rounding into scratch allocates nothing and can be replayed") {
  const auto cpu = make_cpu_system(2);
  Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 3, 600, 20), router_shape(600, 20, 4));
  StrategyConfig up = strategy(StrategyKind::kUp);
  const auto expected = round_routing(routing, {up, 32, 1, 0}, *cpu).dispatch.token.to_host();
  RoundingScratch scratch(*cpu, 600, 20, 4, 32);
  const auto recording = cpu->record([&] {
    route_again(*cpu, routing, router_shape(600, 20, 4));
    round_into(routing, {up, 32, 1, 0}, *cpu, scratch);
  });
  cpu->reset_peak();
  const std::size_t before = cpu->peak_bytes();
  recording->replay();
  recording->replay();
  CHECK(cpu->peak_bytes() == before);
  CHECK(round_routing(routing, {up, 32, 1, 0}, *cpu, scratch).dispatch.token.to_host() == expected);
}

TEST_CASE("dispatch lists every row of a token once in rows_by_token") {
  const auto cpu = make_cpu_system();
  const Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 3, 100, 10), router_shape(100, 10, 2));
  const Rounded rounded = round_routing(routing, {strategy(StrategyKind::kUp), 32, 1, 0}, *cpu);
  const TokenRows by_token = rows_by_token(*cpu, rounded.dispatch, 100);
  const auto offsets = by_token.offsets.to_host();
  const auto rows = by_token.rows.to_host();
  const auto token = rounded.dispatch.token.to_host();
  for (int t = 0; t < 100; ++t) {
    REQUIRE(std::is_sorted(rows.begin() + offsets[t], rows.begin() + offsets[t + 1]));
    for (int i = offsets[t]; i < offsets[t + 1]; ++i) REQUIRE(token[rows[i]] == t);
  }
  CHECK(offsets[100] == rounded.metrics.rows - rounded.metrics.padded);
}
