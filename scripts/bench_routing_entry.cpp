// C entry points of routing and rounding, for scripts/bench_routing to call beside PyTorch in one process.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <vector>

#include "device/system.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"

namespace {

using namespace tatr;

struct Bench {
  std::unique_ptr<System> system;
  RouterConfig router;
  std::int64_t tile;
  Routing routing;
  std::unique_ptr<RoundingScratch> scratch;
  std::vector<std::unique_ptr<StrategyConfig>> strategies;
  std::vector<std::unique_ptr<Recording>> recordings;
  std::size_t bytes_of_logits, bytes_in_all;
};

template <class Work>
auto guarded(Work work, decltype(work()) failed) {
  try {
    return work();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_routing: %s\n", error.what());
    return failed;
  }
}

}  // namespace

extern "C" {

/// Routes logits [tokens, experts] of the host, kept as bf16 if `bf16`. Null on failure, with a line on stderr. Never
/// freed.
void* bench_new(int cuda, std::int64_t tokens, std::int64_t experts, std::int64_t top_k, std::int64_t tile,
                const float* logits, int bf16) {
  return guarded(
      [&]() -> void* {
        auto bench = std::make_unique<Bench>();
        bench->system = cuda != 0 ? make_cuda_system() : make_cpu_system();
        bench->tile = tile;
        bench->router.tokens = tokens;
        bench->router.experts = experts;
        bench->router.top_k = top_k;
        if (bf16 != 0) bench->router.logits = LogitType::kBf16;
        Buffer<float> data(*bench->system, std::vector<float>(logits, logits + tokens * experts));
        bench->routing = route(*bench->system, std::move(data), bench->router);
        bench->bytes_of_logits = bench->routing.logits.size() * 4 + bench->routing.bf16.size() * 2;
        bench->scratch = std::make_unique<RoundingScratch>(*bench->system, tokens, experts, top_k, tile);
        bench->bytes_in_all = bench->system->bytes_in_use();
        return bench.release();
      },
      nullptr);
}

void* bench_stream(void* handle) { return static_cast<Bench*>(handle)->system->stream(); }

std::int64_t bench_scratch_bytes(void* handle) {
  const auto* bench = static_cast<Bench*>(handle);
  return static_cast<std::int64_t>(bench->bytes_in_all - bench->bytes_of_logits);
}

/// Records the chain up to a strategy's dispatch (`kind` of StrategyKind; `of_nearest` for budget; kind -1: routing
/// only; `with_route` 0: rounding only) and returns its index, or -1.
int bench_record(void* handle, int kind, double of_nearest, int with_route) {
  return guarded(
      [&] {
        auto* bench = static_cast<Bench*>(handle);
        StrategyConfig* strategy = nullptr;
        if (kind >= 0) {
          strategy = bench->strategies.emplace_back(std::make_unique<StrategyConfig>()).get();
          strategy->kind = static_cast<StrategyKind>(kind);
          if (strategy->kind == StrategyKind::kBudget) {
            BudgetOptions budget;
            budget.tiles = BudgetOfNearest{of_nearest};
            strategy->options = budget;
          }
          round_routing(bench->routing, {*strategy, bench->tile, 1, 0}, *bench->system, *bench->scratch);
        }
        bench->recordings.push_back(bench->system->record([bench, strategy, with_route] {
          if (with_route != 0) route_again(*bench->system, bench->routing, bench->router);
          if (strategy != nullptr) {
            round_into(bench->routing, {*strategy, bench->tile, 1, 0}, *bench->system, *bench->scratch);
          }
        }));
        return static_cast<int>(bench->recordings.size()) - 1;
      },
      -1);
}

/// 0 if given to the system's stream.
int bench_replay(void* handle, int index) {
  return guarded(
      [&] {
        static_cast<Bench*>(handle)->recordings[static_cast<std::size_t>(index)]->replay();
        return 0;
      },
      1);
}

}  // extern "C"
