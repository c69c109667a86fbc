// Routing and rounding on a GPU up to the most experts and choices that there may be, beyond what the top-k kernel
// takes: the CPU's bits.
#include "any_options.hpp"
#include "catch.hpp"
#include "parity.hpp"
#include "source/synthetic.hpp"

using namespace tatr;

namespace {

constexpr std::int64_t kTile = 16;  // near what most experts have: some go up, some down

/// One of every kind in the catalogue, with fills and gates in turn, and `budget` among tiles besides.
std::vector<StrategyConfig> all_strategies() {
  test::AnyOptions options;
  options.adaptive.threshold = 0.4;
  options.capacity = {1.0, StrategyKind::kNearest};
  options.dynamic = {StrategyKind::kNearest, {{6, 8}, {20, kTile}, {std::nullopt, 32}}};
  options.budget.tiles = BudgetOfNearest{0.5};
  std::vector<StrategyConfig> strategies;
  for (const StrategyRow& row : kStrategies) {
    StrategyConfig strategy;
    strategy.kind = row.kind;
    strategy.options = options.of(row.kind);
    strategy.label = row.name;
    strategy.renormalise = strategies.size() % 3 == 0;
    if (strategies.size() % 3 == 1) strategy.added_gate = AddedGate::kNormalised;
    strategies.push_back(strategy);
  }
  StrategyConfig among_tiles;
  among_tiles.kind = StrategyKind::kBudget;
  among_tiles.label = "budget among tiles";
  options.budget.candidates = BudgetCandidates::kTiles;
  among_tiles.options = options.budget;
  strategies.push_back(among_tiles);
  return strategies;
}

/// What differs first between two systems, or empty.
std::string difference(System& here, System& there, const RouterConfig& router) {
  const std::vector<float> logits = synthetic_logits(here, {}, 5, router.tokens, router.experts).to_host();
  const Routing a = route(here, Buffer<float>(here, logits), router);
  const Routing b = route(there, Buffer<float>(there, logits), router);
  std::string found = test::difference(a, b);
  for (const StrategyConfig& strategy : all_strategies()) {
    if (!found.empty()) break;
    found = test::difference(round_routing(a, {strategy, kTile, 7, 0}, here),
                             round_routing(b, {strategy, kTile, 7, 0}, there));
    if (!found.empty()) found += " of " + strategy.label;
  }
  return found;
}

}  // namespace

TEST_CASE("up to 8192 experts and 128 choices the GPU gives what the CPU gives") {
  struct Shape {
    std::int64_t experts, top_k;
  };
  std::vector<Shape> shapes = {{64, 64}, {kMaxTopK, kMaxTopK}};  // every expert has every token
  for (const std::int64_t experts : {1025, 1536, 2048, 4096, 4097}) {
    for (const std::int64_t top_k : {33, 64, 65}) shapes.push_back({experts, top_k});
  }
  for (const std::int64_t experts : {3000, 5000, 8191, 8192}) shapes.push_back({experts, kMaxTopK});
  const auto cpu = make_cpu_system(4), gpu = make_cuda_system();
  for (const Shape& shape : shapes) {
    for (const Scoring scoring : {Scoring::kSoftmax, Scoring::kSigmoid}) {
      for (const LogitType logits : {LogitType::kFp32, LogitType::kBf16}) {
        RouterConfig router;
        router.tokens = 300;
        router.experts = shape.experts;
        router.top_k = shape.top_k;
        router.scoring = scoring;
        router.logits = logits;
        INFO("E " << shape.experts << ", K " << shape.top_k << (scoring == Scoring::kSigmoid ? ", sigmoid" : "")
                  << (logits == LogitType::kBf16 ? ", bf16" : ""));
        CHECK(difference(*cpu, *gpu, router) == "");
      }
    }
  }
}
