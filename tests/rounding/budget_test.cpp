// `budget` picks greedily. For its own objective that is the best choice there is: shown against every choice, in
// arithmetic that shares nothing with the program's.
#include <algorithm>
#include <bitset>
#include <limits>

#include "catch.hpp"
#include "rounding/rounding.hpp"
#include "router_shape.hpp"
#include "source/synthetic.hpp"

using namespace tatr;

namespace {

constexpr std::size_t kExperts = 9;
using Choice = std::bitset<kExperts>;  // experts that are rounded up

/// What rounding an expert down loses, and whether there is anything to round.
struct Stake {
  int count = 0, rem = 0;
  double mass = 0, squared = 0;
};

std::vector<Stake> stakes_of(const Routing& routing, int tile) {
  std::vector<std::vector<float>> gates(kExperts);
  const auto chosen = routing.chosen.to_host();
  const auto gate = routing.gates.to_host();
  for (std::size_t a = 0; a < chosen.size(); ++a) gates[static_cast<std::size_t>(chosen[a])].push_back(gate[a]);
  std::vector<Stake> stakes;
  for (std::vector<float>& own : gates) {
    std::sort(own.begin(), own.end());
    Stake stake{static_cast<int>(own.size()), static_cast<int>(own.size()) % tile};
    for (int i = 0; i < stake.rem; ++i) {
      const double g = own[static_cast<std::size_t>(i)];
      stake.mass += g;
      stake.squared += g * g;
    }
    stakes.push_back(stake);
  }
  return stakes;
}

/// The value of a choice, mass or squared mass that is dropped.
double loss(const std::vector<Stake>& stakes, const Choice& up, BudgetObjective objective) {
  double sum = 0;
  for (std::size_t e = 0; e < kExperts; ++e) {
    if (!up[e]) sum += objective == BudgetObjective::kMass ? stakes[e].mass : stakes[e].squared;
  }
  return sum;
}

/// The lowest loss of any choice with at most `round_ups` experts rounded up that have something to round.
double best_loss(const std::vector<Stake>& stakes, std::size_t round_ups, BudgetObjective objective) {
  double best = std::numeric_limits<double>::infinity();
  for (unsigned bits = 0; bits < 1U << kExperts; ++bits) {
    const Choice up(bits);
    bool possible = up.count() <= round_ups;
    for (std::size_t e = 0; e < kExperts; ++e) possible = possible && !(up[e] && stakes[e].rem == 0);
    if (possible) best = std::min(best, loss(stakes, up, objective));
  }
  return best;
}

Choice choice_of(const RoundingMetrics& metrics) {
  Choice up;
  for (std::size_t e = 0; e < kExperts; ++e) up[e] = metrics.counts_after[e] > metrics.counts_before[e];
  return up;
}

StrategyConfig budget(BudgetObjective objective, BudgetTiles tiles) {
  StrategyConfig config;
  config.kind = StrategyKind::kBudget;
  config.options = BudgetOptions{objective, BudgetCandidates::kRemainders, tiles};
  config.place = {"test", "/strategies/0"};
  return config;
}

}  // namespace

TEST_CASE("no choice of experts to round up loses less than budget's, for as many tiles") {
  constexpr int kTile = 8;
  const auto cpu = make_cpu_system(1);
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SourceConfig source;
    if (seed % 2 == 0) source.options = ZipfSource{};
    const std::int64_t tokens = 40 + static_cast<std::int64_t>(seed) * 3;
    const Routing routing =
        route(*cpu, synthetic_logits(*cpu, source, seed, tokens, kExperts), router_shape(tokens, kExperts, 2));
    const std::vector<Stake> stakes = stakes_of(routing, kTile);
    std::int64_t down_tiles = 0;
    std::size_t candidates = 0;
    for (const Stake& stake : stakes) {
      down_tiles += stake.count / kTile;
      candidates += stake.rem > 0;
    }
    for (const BudgetObjective objective : {BudgetObjective::kMass, BudgetObjective::kMassSquared}) {
      for (std::size_t round_ups = 0; round_ups <= kExperts; ++round_ups) {
        const std::int64_t tiles = down_tiles + static_cast<std::int64_t>(round_ups);
        const RoundingMetrics metrics =
            round_routing(routing, {budget(objective, BudgetTotalTiles{tiles}), kTile, 1, 0}, *cpu).metrics;
        const Choice up = choice_of(metrics);
        INFO("seed " << seed << ", " << round_ups << " round-ups");
        CHECK(up.count() == std::min(round_ups, candidates));
        CHECK(metrics.tiles <= tiles);
        CHECK(loss(stakes, up, objective) == Approx(best_loss(stakes, round_ups, objective)).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("among tiles, no choice of as many carries more than budget's, and an expert keeps its first ones") {
  constexpr int kTile = 8;
  const auto cpu = make_cpu_system(1);
  int full_tiles_lost = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SourceConfig source;
    if (seed % 2 == 0) source.options = ZipfSource{};
    const std::int64_t tokens = 30 + static_cast<std::int64_t>(seed);
    const Routing routing =
        route(*cpu, synthetic_logits(*cpu, source, seed, tokens, kExperts), router_shape(tokens, kExperts, 2));
    StrategyConfig up = budget(BudgetObjective::kMass, BudgetTotalTiles{0});
    up.kind = StrategyKind::kUp;
    const Rounded all = round_routing(routing, {up, kTile, 1, 0}, *cpu);
    const std::vector<float> gate = all.dispatch.gate.to_host();
    const std::vector<std::int32_t> first = all.dispatch.offsets.to_host();
    for (const BudgetObjective objective : {BudgetObjective::kMass, BudgetObjective::kMassSquared}) {
      const auto carried = [&](std::int32_t row) {
        double sum = 0;
        for (std::int32_t i = row; i < row + kTile; ++i) {
          const double g = gate[static_cast<std::size_t>(i)];
          sum += objective == BudgetObjective::kMass ? g : g * g;
        }
        return sum;
      };
      std::vector<double> best(1, 0.0);  // by number of tiles, over the experts so far; any first tiles of each
      for (std::size_t e = 0; e < kExperts; ++e) {
        std::vector<double> with(best.size() + static_cast<std::size_t>((first[e + 1] - first[e]) / kTile), 0.0);
        for (std::size_t n = 0; n < best.size(); ++n) {
          double sum = best[n];
          with[n] = std::max(with[n], sum);
          for (std::int32_t row = first[e]; row < first[e + 1]; row += kTile) {
            sum += carried(row);
            const std::size_t tiles = n + static_cast<std::size_t>((row - first[e]) / kTile) + 1;
            with[tiles] = std::max(with[tiles], sum);
          }
        }
        best = with;
      }
      for (std::size_t tiles = 0; tiles < best.size(); ++tiles) {
        StrategyConfig chosen = budget(objective, BudgetTotalTiles{static_cast<std::int64_t>(tiles)});
        std::get<BudgetOptions>(chosen.options).candidates = BudgetCandidates::kTiles;
        const RoundingMetrics metrics = round_routing(routing, {chosen, kTile, 1, 0}, *cpu).metrics;
        double sum = 0;
        for (std::size_t e = 0; e < kExperts; ++e) {
          for (std::int32_t row = 0; row < metrics.counts_after[e]; row += kTile) sum += carried(first[e] + row);
          full_tiles_lost += metrics.counts_after[e] < metrics.counts_before[e] / kTile * kTile;
        }
        INFO("seed " << seed << ", " << tiles << " tiles");
        CHECK(metrics.tiles == static_cast<std::int64_t>(tiles));
        CHECK(sum == Approx(best[tiles]).epsilon(1e-12));
      }
    }
  }
  CHECK(full_tiles_lost > 0);  // what rounding up or down cannot do
}

TEST_CASE("no fewer tiles keep a limit on the dropped mass than budget's by mass") {
  constexpr int kTile = 8;
  const auto cpu = make_cpu_system(1);
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const std::int64_t tokens = 50 + static_cast<std::int64_t>(seed);
    const Routing routing =
        route(*cpu, synthetic_logits(*cpu, {}, seed, tokens, kExperts), router_shape(tokens, kExperts, 2));
    const std::vector<Stake> stakes = stakes_of(routing, kTile);
    for (const double limit : {0.0, 0.01, 0.05, 0.1, 0.2, 0.4}) {
      std::size_t fewest = 0;
      const double allowed = limit * static_cast<double>(tokens);
      while (best_loss(stakes, fewest, BudgetObjective::kMass) > allowed) ++fewest;
      const RoundingMetrics metrics =
          round_routing(routing, {budget(BudgetObjective::kMass, BudgetMaxDroppedMass{limit}), kTile, 1, 0}, *cpu)
              .metrics;
      INFO("seed " << seed << ", limit " << limit);
      CHECK(choice_of(metrics).count() == fewest);
      CHECK(metrics.dropped_gate_mass <= limit + 1e-12);
    }
  }
}
