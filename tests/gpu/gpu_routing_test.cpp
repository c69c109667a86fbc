// What only a GPU can show of routing and rounding: the same bits from a graph. Parity with the CPU: tests/stress.
#include "any_options.hpp"
#include "catch.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"
#include "source/synthetic.hpp"

using namespace tatr;

TEST_CASE("the chain from logits to dispatch is captured whole, and replays without allocating") {
  constexpr std::int64_t kTokens = 3000, kExperts = 64, kTopK = 4, kTile = 64;
  const auto gpu = make_cuda_system();
  RouterConfig router;
  router.tokens = kTokens;
  router.experts = kExperts;
  router.top_k = kTopK;
  test::AnyOptions options;
  options.capacity = {1.0, StrategyKind::kNearest};
  options.dynamic = {StrategyKind::kNearest, {{150, 32}, {std::nullopt, kTile}}};
  for (std::size_t kind = 0; kind < kStrategies.size(); ++kind) {
    StrategyConfig strategy;
    strategy.kind = kStrategies[kind].kind;
    strategy.options = options.of(strategy.kind);
    strategy.renormalise = kind % 2 == 0;
    if (kind % 3 == 1) strategy.added_gate = AddedGate::kNormalised;
    INFO("strategy " << kind);
    Routing routing = route(*gpu, synthetic_logits(*gpu, {}, 3, kTokens, kExperts), router);
    const Dispatch expected = round_routing(routing, {strategy, kTile, 1, 0}, *gpu).dispatch;
    RoundingScratch scratch(*gpu, kTokens, kExperts, kTopK, kTile);
    const auto recording = gpu->record([&] {
      route_again(*gpu, routing, router);
      round_into(routing, {strategy, kTile, 1, 0}, *gpu, scratch);
    });
    gpu->reset_peak();
    const std::size_t before = gpu->peak_bytes();
    const std::vector<std::int32_t> chosen = routing.chosen.to_host(), nobody(chosen.size(), -1);
    gpu->copy_from_host(routing.chosen.data(), nobody.data(), nobody.size() * sizeof(nobody[0]));
    for (int replay = 0; replay < 2; ++replay) {
      poison_dispatch(*gpu, scratch);
      recording->replay();
      gpu->synchronize();
      if (replay == 0) CHECK(gpu->peak_bytes() == before);
      const Dispatch again = dispatch_of(*gpu, scratch);
      CHECK(routing.chosen.to_host() == chosen);
      CHECK(again.offsets.to_host() == expected.offsets.to_host());
      CHECK(again.token.to_host() == expected.token.to_host());
      CHECK(again.gate.to_host() == expected.gate.to_host());
    }
  }
}

TEST_CASE("bf16 logits take two bytes each where the top-k kernel takes the shape, and give what the CPU gives") {
  constexpr std::int64_t kTokens = 1000, kExperts = 96;
  constexpr std::size_t kLogits = kTokens * kExperts, kNone = 0;
  const auto gpu = make_cuda_system(), cpu = make_cpu_system();
  RouterConfig router;
  router.tokens = kTokens;
  router.experts = kExperts;
  router.top_k = 6;
  router.logits = LogitType::kBf16;
  for (const std::int64_t groups : {1, 4}) {
    if (groups > 1) router.groups = ExpertGroups{groups, 2};
    const Routing here = route(*cpu, synthetic_logits(*cpu, {}, 3, kTokens, kExperts), router);
    const Routing there = route(*gpu, synthetic_logits(*gpu, {}, 3, kTokens, kExperts), router);
    CHECK(there.bf16.size() == (groups == 1 ? kLogits : kNone));
    CHECK(there.logits.size() == (groups == 1 ? kNone : kLogits));
    CHECK(there.chosen.to_host() == here.chosen.to_host());
    CHECK(there.gates.to_host() == here.gates.to_host());
  }
}
