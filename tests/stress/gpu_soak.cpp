// Launches every kernel of a layer over random shapes, very often: a hang once in ten thousand launches is a fault, and
// so is one wrong bit. Each case routes, rounds and runs the layer as an experiment does, recorded and launched one by
// one, in queues of many runs and one of a single run; what each queue leaves in poisoned outputs is compared with what
// the first run gave. A watchdog ends a run that stands still, with the case and, in a build with TATR_WATCH_WAITS,
// where each warp waits. Usage: gpu_soak [launches] [seed] [gpu] [seconds at most]
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "any_options.hpp"
#include "core/philox.hpp"
#include "gemm/sm90/tatr_gemm.hpp"
#include "gemm/sm90/wait_log.hpp"
#include "gpu_lock.hpp"
#include "layer/layer_pass.hpp"
#include "parity.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"
#include "source/synthetic.hpp"
#include "tensor/tensor_values.hpp"

namespace {

using namespace tatr;
using Clock = std::chrono::steady_clock;

/// Draws in sequence, each case from its own key.
class Draws {
 public:
  explicit Draws(std::uint64_t key) : key_(key) {}
  std::uint32_t bits() { return philox(key_, {{next_++, 0, 0, 98}}).word[0]; }
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(std::uint64_t{bits()} * static_cast<std::uint64_t>(bound) >> 32);
  }
  bool chance(double p) { return bits() * 0x1p-32 < p; }
  template <class T, std::size_t kCount>
  T one_of(const T (&values)[kCount]) {
    return values[below(static_cast<std::int64_t>(kCount))];
  }
  /// About log-uniform in least … most, a multiple of `unit`.
  std::int64_t size(std::int64_t least, std::int64_t most, std::int64_t unit = 1) {
    const double low = std::log(static_cast<double>(least)), high = std::log(static_cast<double>(most));
    const auto value = static_cast<std::int64_t>(std::exp(low + bits() * 0x1p-32 * (high - low)));
    return std::max(unit, value / unit * unit);
  }

 private:
  std::uint64_t key_;
  std::uint32_t next_ = 0;
};

struct Case {
  RouterConfig router;
  StrategyConfig strategy;
  LayerShape shape;
  LayerOptions options;
  std::uint64_t seed = 0;
  std::string text;
};

Case draw_case(std::uint64_t key) {
  constexpr std::int64_t kMostWeights = std::int64_t{1} << 28, kMostActivations = std::int64_t{1} << 27;
  constexpr std::int64_t kTiles[] = {32, 64, 128, 256};
  Draws draw(key);
  Case c;
  c.seed = key;
  do {
    c.router.tokens = draw.size(1, 8192);
    c.router.experts = draw.size(1, 512);
    c.router.top_k = draw.size(1, std::min<std::int64_t>(c.router.experts, 16));
    c.shape = {c.router.tokens, c.router.experts, draw.size(8, 4096, 8), draw.size(8, 3072, 8), 0};
    c.options.tile_rows = draw.one_of(kTiles);
    c.shape.most_rows = c.router.tokens * c.router.top_k + c.router.experts * 255;
  } while (c.router.experts * c.shape.hidden * c.shape.intermediate > kMostWeights ||
           c.shape.most_rows * std::max(c.shape.hidden, 2 * c.shape.intermediate) > kMostActivations);
  c.options.backend = "tatr";
  c.options.fuse_gather = draw.chance(0.6);
  c.options.fuse_swiglu = draw.chance(0.6);
  c.options.launch_per_tile = draw.chance(0.5);
  if (draw.chance(0.6)) c.shape.gradients = draw.chance(0.7) ? DType::kBf16 : DType::kFp32;
  if (draw.chance(0.3)) c.router.logits = LogitType::kBf16;
  if (draw.chance(0.3)) c.router.scoring = Scoring::kSigmoid;
  if (draw.chance(0.6)) {
    c.router.source.options = LognormalSource{draw.chance(0.5) ? 0.7 : 2.0};
  }
  c.strategy.kind = kStrategies[static_cast<std::size_t>(draw.below(kStrategies.size()))].kind;
  tatr::test::AnyOptions strategy;
  strategy.capacity.then = strategy.dynamic.then = static_cast<StrategyKind>(draw.below(4));
  strategy.dynamic.tiles_by_load = {{20, 32}, {100, 64}, {400, 128}, {std::nullopt, 256}};
  if (draw.chance(0.2)) strategy.budget.candidates = BudgetCandidates::kTiles;
  c.strategy.options = strategy.of(c.strategy.kind);
  if (draw.chance(0.3)) c.strategy.fill = static_cast<Fill>(draw.below(3));
  c.strategy.renormalise = draw.chance(0.1);
  c.text = "case " + std::to_string(key) + ": T " + std::to_string(c.router.tokens) + " E " +
           std::to_string(c.router.experts) + " K " + std::to_string(c.router.top_k) + " H " +
           std::to_string(c.shape.hidden) + " I " + std::to_string(c.shape.intermediate) + " tile " +
           std::to_string(c.options.tile_rows) + " strategy " + std::to_string(static_cast<int>(c.strategy.kind)) +
           (c.options.fuse_gather ? " gather" : "") + (c.options.fuse_swiglu ? " swiglu" : "") +
           (c.shape.trains() ? " training" : "");
  return c;
}

/// What the watchdog looks at.
struct Progress {
  std::atomic<std::int64_t> steps{0};
  std::atomic<const Case*> current{nullptr};
};

/// Ends the program where nothing has been done for too long. Beside the work; stops with it.
void watch(const Progress& progress, const std::atomic<bool>& done) {
  constexpr auto kMost = std::chrono::seconds(20);
  std::int64_t seen = -1;
  Clock::time_point since = Clock::now();
  while (!done) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (progress.steps != seen) {
      seen = progress.steps;
      since = Clock::now();
    } else if (Clock::now() - since > kMost) {
      const Case* const c = progress.current;
      std::printf("HUNG: %s\n%s", c == nullptr ? "no case" : c->text.c_str(), long_waits().c_str());
      std::fflush(stdout);
      if (std::getenv("TATR_SOAK_STAY") != nullptr) pause();  // for a debugger
      std::_Exit(1);
    }
  }
}

/// How often each kernel was launched.
using Tally = std::map<std::string, std::int64_t>;

/// Kernels that one rounding launches: what deals, decides, collects and writes, at the least.
constexpr std::int64_t kLeastRoundingKernels = 2;

/// Of each stage what it wrote, or what a later stage wrote over that, in order.
std::vector<Tensor> copies_of_outputs(System& gpu, const LayerPass& run) {
  std::vector<Tensor> copies;
  for (const auto& stage : run.stages()) {
    for (const TensorView& output : stage->outputs()) {
      copies.emplace_back(gpu, output.dtype, output.shape);
      gpu.copy(copies.back().data(), output.data, copies.back().bytes());
    }
  }
  return copies;
}

/// What the last run left otherwise than the first did, or empty. Waits for it.
std::string difference(System& gpu, const LayerPass& run, const std::vector<Tensor>& outputs, RoundingScratch& scratch,
                       const Dispatch& dispatch) {
  auto first = outputs.begin();
  for (const auto& stage : run.stages()) {
    for (const TensorView& output : stage->outputs()) {
      if (!same_bits(gpu, output, (first++)->view())) return std::string(stage->name());
    }
  }
  return test::difference(dispatch_of(gpu, scratch), dispatch);
}

/// Runs one case so many times. False where bits differ.
bool soak(const Case& c, System& gpu, Progress& progress, Tally& tally) {
  constexpr int kQueued = 25, kQueues = 8;
  Routing routing =
      route(gpu, synthetic_logits(gpu, c.router.source, c.seed, c.router.tokens, c.router.experts), c.router);
  RoundingScratch scratch(gpu, c.router.tokens, c.router.experts, c.router.top_k, 256);
  const Rounded rounded = round_routing(routing, {c.strategy, c.options.tile_rows, c.seed, 0}, gpu, scratch);
  LayerOptions options = c.options;
  options.tile_of_expert = rounded.tile_of_expert;
  ExpertLayer layer(gpu, c.shape, c.seed);
  LayerPass run(layer, rounded.dispatch, options);
  run.run();
  const std::vector<Tensor> first = copies_of_outputs(gpu, run);
  const auto recording = gpu.record([&] {
    route_again(gpu, routing, c.router);
    round_into(routing, {c.strategy, c.options.tile_rows, c.seed, 0}, gpu, scratch);
    run.run();
  });
  ++progress.steps;
  std::string found;
  for (int queue = 0; queue <= kQueues && found.empty(); ++queue) {
    const int runs = queue < kQueues ? kQueued : 1;  // the last: what one run alone does not write stays poison
    run.poison_outputs();
    poison_dispatch(gpu, scratch);
    for (int i = 0; i < runs; ++i) {
      if ((queue + i) % 2 == 0) {
        recording->replay();
      } else {
        run.run();
      }
    }
    gpu.synchronize();
    found = difference(gpu, run, first, scratch, rounded.dispatch);
    if (!found.empty()) found += " after queue " + std::to_string(queue);
    ++progress.steps;
  }
  constexpr std::int64_t kRuns = kQueued * kQueues;
  const std::int64_t gemms = kRuns * run.launches().value_or(1);
  tally["top-k"] += kRuns / 2;
  tally["rounding"] += kRuns / 2 * kLeastRoundingKernels;
  tally["up: " + std::string(run.fuses_gather() ? "gather, " : "") + (run.fuses_swiglu() ? "SwiGLU, " : "") +
        run.variant(Stage::kUp).substr(0, run.variant(Stage::kUp).find(','))] += gemms;
  tally["down: " + run.variant(Stage::kDown).substr(0, run.variant(Stage::kDown).find(','))] += gemms;
  tally["combine"] += kRuns;
  for (const auto& stage : run.stages()) {
    if (info_of(stage->stage()).backward) tally["backward: " + std::string(stage->name())] += kRuns;
  }
  if (!found.empty()) std::printf("DIFFERS: %s: %s\n", c.text.c_str(), found.c_str());
  return found.empty();
}

std::int64_t total(const Tally& tally) {
  std::int64_t sum = 0;
  for (const auto& [name, count] : tally) sum += count;
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t launches = argc > 1 ? std::atoll(argv[1]) : 100000;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const int index = argc > 3 ? std::atoi(argv[3]) : 0;
  if (cuda_device_count() == 0) {
    std::puts("skipped: no usable GPU");
    return 77;  // ctest's SKIP_RETURN_CODE
  }
  const test::GpuLock lock(index);
  const auto end = Clock::now() + std::chrono::seconds(argc > 4 ? std::atoi(argv[4]) : 3600);
  const auto gpu = make_cuda_system(index);
  if (!can_run({1, 8, 8, 128, 0, false, false}, current_tatr_device())) {
    std::puts("skipped: the kernels need a Hopper GPU");
    return 77;
  }
  start_wait_log();
  Progress progress;
  std::atomic<bool> done{false};
  std::thread watchdog(watch, std::cref(progress), std::cref(done));
  Tally tally;
  std::int64_t cases = 0, failures = 0;
  for (; total(tally) < launches && Clock::now() < end; ++cases) {
    const Case c = draw_case(seed * 1000003 + static_cast<std::uint64_t>(cases));
    progress.current = &c;
    failures += soak(c, *gpu, progress, tally) ? 0 : 1;
    progress.current = nullptr;
  }
  done = true;
  watchdog.join();
  for (const auto& [name, count] : tally) std::printf("  %-40s %lld\n", name.c_str(), static_cast<long long>(count));
  std::printf("%lld launches in %lld cases: none hung, %lld differ\n", static_cast<long long>(total(tally)),
              static_cast<long long>(cases), static_cast<long long>(failures));
  return failures == 0 ? 0 : 1;
}
