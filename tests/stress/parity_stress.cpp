// Draws random routings and strategies and compares every integer and every bit between one CPU thread and another
// system: a GPU where there is one, else the CPU with three threads. Usage: parity_stress [cases] [seed] [workers]
// [cpu|cuda]
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "any_options.hpp"
#include "core/error.hpp"
#include "core/philox.hpp"
#include "gpu_lock.hpp"
#include "parity.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"

namespace {

using namespace tatr;

/// Draws in sequence, each case from its own key.
class Draws {
 public:
  explicit Draws(std::uint64_t key) : key_(key) {}
  std::uint32_t bits() { return philox(key_, {{next_++, 0, 0, 99}}).word[0]; }
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(std::uint64_t{bits()} * static_cast<std::uint64_t>(bound) >> 32);
  }
  double unit() { return bits() * 0x1p-32; }
  bool chance(double p) { return unit() < p; }
  template <class T, std::size_t kCount>
  T one_of(const T (&values)[kCount]) {
    return values[below(static_cast<std::int64_t>(kCount))];
  }
  /// About log-uniform in 1 … most.
  std::int64_t size(std::int64_t most) {
    return std::max<std::int64_t>(
        1, static_cast<std::int64_t>(std::exp(unit() * std::log(static_cast<double>(most) + 1))));
  }

 private:
  std::uint64_t key_;
  std::uint32_t next_ = 0;
};

// Where GPU kernels change how they work or end, and beside it.
constexpr std::int64_t kEdgeExperts[] = {4,   8,   12,   128,  252,  256,  256,  260,  504,        512,
                                         512, 516, 1020, 1024, 1025, 1028, 2048, 3000, kMaxExperts};
constexpr std::int64_t kEdgeTopK[] = {1, 2, 7, 8, 8, 9, 16, 17, 32, 33, 64, 65, kMaxTopK};
// Drawn now and then together: apart they would hardly ever meet.
constexpr std::int64_t kMostExperts[] = {4096, 4097, 5000, kMaxExperts - 1, kMaxExperts, kMaxExperts};
constexpr std::int64_t kMostTopK[] = {65, 100, kMaxTopK - 1, kMaxTopK, kMaxTopK};
constexpr const char* kLogitKinds[] = {"normal", "coarse",    "equal",   "zeros of both signs", "subnormal",
                                       "wide",   "half-like", "crowded", "nearly equal"};

float make_logit(int kind, std::uint32_t bits) {
  const float normal = normal_from_bits(bits);
  switch (kind) {
    case 1:
      return static_cast<float>(static_cast<int>(normal * 2.0f));
    case 2:
      return 1.25f;
    case 3:
      return bits & 1 ? 0.0f : -0.0f;
    case 4:
      return float_from_bits((bits & 0x80000000u) | (bits & 0xFFu));
    case 5:
      return normal * 60.0f;
    case 6:
      return float_from_bits(float_bits(normal) & 0xFFFFE000u);
    case 7:
      return normal * 1e-5f;
    case 8:
      return float_from_bits((float_bits(normal) & 0xFFFF0000u) | (bits & 0x3Fu));
    default:
      return normal;
  }
}

struct Case {
  RouterConfig router;
  std::vector<float> logits;
  std::vector<StrategyConfig> strategies;
  std::vector<std::int64_t> tiles;
  std::uint64_t seed = 0;
  std::string text;
};

/// Of the catalogue; `rules_only`: of those that may follow another strategy's own step.
StrategyKind draw_kind(Draws& draw, bool rules_only) {
  for (;;) {
    const StrategyKind kind = kStrategies[static_cast<std::size_t>(draw.below(kStrategies.size()))].kind;
    if (!rules_only || (kind != StrategyKind::kCapacity && kind != StrategyKind::kDynamic)) return kind;
  }
}

StrategyConfig draw_strategy(Draws& draw) {
  StrategyConfig s;
  s.kind = draw_kind(draw, /*rules_only=*/false);
  if (draw.chance(0.4)) s.fill = static_cast<Fill>(draw.below(3));
  if (draw.chance(0.5)) s.added_gate = AddedGate::kNormalised;
  s.renormalise = draw.chance(0.3);
  test::AnyOptions options;
  options.adaptive.threshold = draw.unit();
  options.capacity.factor = 0.2 + 2 * draw.unit();
  StrategyKind then = draw_kind(draw, /*rules_only=*/true);
  if (draw.chance(0.2)) then = StrategyKind::kBudget;
  options.capacity.then = options.dynamic.then = then;
  const std::int64_t first = 8 * draw.size(8), second = first + 8 * draw.size(16);
  options.dynamic.tiles_by_load = {{first * 2, first}, {second * 4, second}, {std::nullopt, second + 8 * draw.size(8)}};
  options.budget.objective = draw.chance(0.5) ? BudgetObjective::kMass : BudgetObjective::kMassSquared;
  if (draw.chance(0.4)) options.budget.candidates = BudgetCandidates::kTiles;
  const double form = draw.unit();
  if (form < 0.3) options.budget.tiles = BudgetOfNearest{2 * draw.unit()};
  if (form > 0.7) options.budget.tiles = BudgetMaxDroppedMass{0.1 * draw.unit()};
  s.options = options.of(s.kind);
  s.canonical = std::to_string(draw.bits());
  return s;
}

Case draw_case(std::uint64_t key, std::int64_t most_pairs) {
  Draws draw(key);
  Case c;
  RouterConfig& router = c.router;
  if (draw.chance(0.03)) {
    router.experts = draw.one_of(kMostExperts);
    router.top_k = draw.one_of(kMostTopK);
    router.tokens = draw.size(std::max<std::int64_t>(64, most_pairs / router.experts));
  } else {
    do {
      router.tokens = draw.size(65536);
      router.experts = draw.chance(0.5) ? draw.one_of(kEdgeExperts) : draw.size(kMaxExperts);
    } while (router.tokens * router.experts > most_pairs);
    const std::int64_t most = std::min(router.experts, kMaxTopK);
    router.top_k = draw.chance(0.5) ? std::min(most, draw.one_of(kEdgeTopK)) : draw.size(most);
  }
  router.scoring = draw.chance(0.3) ? Scoring::kSigmoid : Scoring::kSoftmax;
  router.normalise_gates = draw.chance(0.7);
  if (draw.chance(0.2)) router.selection_bias = {draw.unit()};
  const std::int64_t groups = draw.size(8);
  if (draw.chance(0.3) && router.experts % groups == 0) {
    const std::int64_t top = 1 + draw.below(groups);
    const GroupScore score = draw.chance(0.5) ? GroupScore::kMax : GroupScore::kTop2Sum;
    if (top * (router.experts / groups) >= router.top_k) router.groups = ExpertGroups{groups, top, score};
  }
  const auto kind = static_cast<int>(draw.below(std::ssize(kLogitKinds)));
  const double skew = draw.chance(0.5) ? 2 * draw.unit() : 0.0;
  c.seed = draw.bits();
  c.logits.resize(static_cast<std::size_t>(router.tokens * router.experts));
  for (std::size_t i = 0; i < c.logits.size(); ++i) {
    const auto expert = static_cast<std::uint32_t>(i % static_cast<std::size_t>(router.experts));
    c.logits[i] = make_logit(kind, random_bits(c.seed, Stream::kTensor, static_cast<std::uint32_t>(i), 0));
    if (kind == 0) c.logits[i] -= static_cast<float>(skew) * exact_log(static_cast<float>(expert + 1));
  }
  for (int i = 0; i < 2; ++i) {
    c.strategies.push_back(draw_strategy(draw));
    c.tiles.push_back(8 * draw.size(32));
  }
  if (draw.chance(0.3)) router.logits = LogitType::kBf16;
  c.text = "T " + std::to_string(router.tokens) + " E " + std::to_string(router.experts) + " K " +
           std::to_string(router.top_k) + " logits " + kLogitKinds[kind];
  return c;
}

std::string run_case(const Case& c, System& one, System& other) {
  const Routing a = route(one, Buffer<float>(one, c.logits), c.router);
  Routing b = route(other, Buffer<float>(other, c.logits), c.router);
  std::string found = test::difference(a, b);
  route_again(other, b, c.router);
  if (found.empty() && !(found = test::difference(a, b)).empty()) found += ", the second time";
  for (std::size_t i = 0; i < c.strategies.size() && found.empty(); ++i) {
    found = test::difference(round_routing(a, {c.strategies[i], c.tiles[i], c.seed, 0}, one),
                             round_routing(b, {c.strategies[i], c.tiles[i], c.seed, 0}, other));
    if (!found.empty()) {
      found += " of strategy " + std::to_string(static_cast<int>(c.strategies[i].kind)) + " at tile " +
               std::to_string(c.tiles[i]);
    }
  }
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t cases = argc > 1 ? std::atoll(argv[1]) : 200;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const int workers = argc > 3 ? std::atoi(argv[3]) : 1;
  const bool cuda = argc > 4 ? std::strcmp(argv[4], "cuda") == 0 : cuda_device_count() > 0;
  std::atomic<std::int64_t> next{0}, failures{0};
  if (cuda && cuda_device_count() == 0) {
    std::puts("skipped: no usable GPU");
    return 77;  // ctest's SKIP_RETURN_CODE
  }
  std::optional<test::GpuLock> lock;
  if (cuda) lock.emplace(0);
  const auto work = [&] {
    const auto one = make_cpu_system(1);
    const auto other = cuda ? make_cuda_system(0) : make_cpu_system(3);
    for (std::int64_t i = next++; i < cases; i = next++) {
      // One case in fifty is large; the rest leave time for many.
      const Case c = draw_case(seed * 1000003 + static_cast<std::uint64_t>(i), i % 50 == 0 ? 1 << 22 : 1 << 16);
      const std::string found = run_case(c, *one, *other);
      if (found.empty()) continue;
      ++failures;
      std::fprintf(stderr, "case %lld (%s): %s differ\n", static_cast<long long>(i), c.text.c_str(), found.c_str());
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < workers; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  std::printf("%lld cases, CPU with 1 thread against %s: %lld differ\n", static_cast<long long>(cases),
              cuda ? "cuda:0" : "CPU with 3 threads", static_cast<long long>(failures));
  return failures == 0 ? 0 : 1;
}
