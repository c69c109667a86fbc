// What only a GPU can show of routing and rounding: the same bits from a graph. Parity with the CPU: tests/stress.
#include "router/routing.hpp"

#include "catch.hpp"
#include "rounding/rounding.hpp"

using namespace tatr;

TEST_CASE("the chain from logits to dispatch is captured whole, and replays without allocating") {
  constexpr std::int64_t kTokens = 3000, kExperts = 64, kTopK = 4, kTile = 64;
  const auto gpu = make_cuda_system();
  RouterConfig router;
  router.tokens = kTokens;
  router.experts = kExperts;
  router.top_k = kTopK;
  for (int kind = 0; kind <= static_cast<int>(StrategyKind::kBudget); ++kind) {
    StrategyConfig strategy;
    strategy.kind = static_cast<StrategyKind>(kind);
    strategy.then = StrategyKind::kNearest;
    strategy.factor = 1.0;
    strategy.tiles_by_load = {{150, 32}, {std::nullopt, kTile}};
    strategy.renormalise = kind % 2 == 0;
    INFO("strategy " << kind);
    Routing routing = route(*gpu, synthetic_logits(*gpu, {}, 3, kTokens, kExperts), router);
    const Dispatch expected = round_routing(routing, strategy, kTile, 1, 0, *gpu).dispatch;
    RoundingScratch scratch(*gpu, kTokens, kExperts, kTopK, kTile);
    const auto recording = gpu->record([&] {
      route_again(*gpu, routing, router);
      round_into(routing, strategy, kTile, 1, 0, *gpu, scratch);
    });
    gpu->reset_peak();
    const std::size_t before = gpu->peak_bytes();
    recording->replay();
    recording->replay();
    gpu->synchronize();
    CHECK(gpu->peak_bytes() == before);
    const Dispatch again = round_routing(routing, strategy, kTile, 1, 0, *gpu, scratch).dispatch;
    CHECK(again.token.to_host() == expected.token.to_host());
    CHECK(again.gate.to_host() == expected.gate.to_host());
  }
}
