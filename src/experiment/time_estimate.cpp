#include "experiment/time_estimate.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include "core/error.hpp"
#include "experiment/memory_estimate.hpp"
#include "experiment/settings.hpp"
#include "gemm/registry.hpp"
#include "source/routing_source.hpp"

namespace tatr {

namespace {

/// Less than this is over before anybody wonders, on any machine.
constexpr double kWorthProbing = 1e12;

/// Of an expert with the mean load, within what a probe may take.
std::int64_t probed_rows(const ExperimentConfig& config) {
  const std::int64_t rows =
      config.router.tokens * config.router.top_k / std::max<std::int64_t>(config.router.experts, 1);
  return std::clamp<std::int64_t>(rows, 1, 512);
}

/// Whether the checks before work let it through; what they say is told when its turn comes.
bool will_run(const ExperimentConfig& computed, const System& cpu) {
  try {
    check_settings(computed, cpu.device());
    check_memory(computed, cpu);
    return computed.router.tokens <= kMaxTokens;  // of counts there may be more, without a layer
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

double estimate_layer_flops(const ExperimentConfig& config, bool modelled) {
  if (!config.layer) return 0.0;
  constexpr double kForward = 6.0, kBackward = 12.0, kBesideNone = 2.0;
  const SourceShape shape = shape_of(config.router);
  const double whole = modelled ? 1.0 : 2.0 + static_cast<double>(config.measure.samples);  // the first is verified
  const double backward = config.layer->training ? kBackward * whole : 0.0;
  const double groups = shape.groups > 1 ? 2.0 : 1.0;  // the median and the fullest
  const auto rows = static_cast<double>(config.router.tokens * config.router.top_k);
  const double passes = (kForward * (whole + kBesideNone) + backward) * rows *
                        static_cast<double>(config.layer->cpu_hidden) *
                        static_cast<double>(config.layer->cpu_intermediate);
  return passes * groups * static_cast<double>(shape.layers * settings_of(config).size());
}

double probe_layer_rate(System& cpu, const ExperimentConfig& config) {
  using Clock = std::chrono::steady_clock;
  GroupedGemmProblem problem;
  problem.experts = 1;
  problem.n = std::min<std::int64_t>(2 * config.layer->cpu_intermediate, 2048);
  problem.k = std::min<std::int64_t>(config.layer->cpu_hidden, 4096);
  problem.rows_bound = probed_rows(config);
  const auto values = [&](std::int64_t count) {
    return Buffer<float>(cpu, std::vector<float>(static_cast<std::size_t>(count), 0.5f));
  };
  const std::vector<std::int32_t> offsets = {0, static_cast<std::int32_t>(problem.rows_bound)};
  const Buffer<float> a = values(problem.rows_bound * problem.k), w = values(problem.n * problem.k);
  Buffer<float> c = values(problem.rows_bound * problem.n);
  const Buffer<std::int32_t> on_system(cpu, offsets);
  const BackEnd& back_end = choose_back_end("auto", {&problem, 1}, cpu.device(), {});
  const auto gemm = back_end.make(cpu, problem, offsets, {a.data(), w.data(), c.data(), on_system.data(), nullptr});
  const double flops =
      2.0 * static_cast<double>(problem.rows_bound) * static_cast<double>(problem.n) * static_cast<double>(problem.k);
  double best = 0.0;
  const Clock::time_point start = Clock::now();
  const auto seconds_since = [](Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  };
  for (int run = 0; run < 2 || (run < 20 && seconds_since(start) < 0.1); ++run) {  // the first wakes threads
    const Clock::time_point begin = Clock::now();
    gemm->run();
    best = std::max(best, flops / std::max(seconds_since(begin), 1e-9));
  }
  return best;
}

std::vector<double> estimate_seconds(const std::vector<ExperimentConfig>& configs, System& cpu,
                                     const ModelChoice& choice) {
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, double> rates;
  std::vector<double> seconds, flops;
  double all = 0.0;
  for (const ExperimentConfig& config : configs) {
    const std::optional<GpuModel> gpu = modelled_gpu(config, choice).gpu;
    const ExperimentConfig computed = gpu ? computed_beside(config, *gpu) : config;
    flops.push_back(will_run(computed, cpu) ? estimate_layer_flops(computed, gpu.has_value()) : 0.0);
    all += flops.back();
  }
  for (std::size_t i = 0; i < configs.size(); ++i) {
    seconds.push_back(0.0);
    if (all < kWorthProbing || flops[i] == 0.0) continue;
    const LayerConfig& layer = *configs[i].layer;
    double& rate = rates[{layer.cpu_hidden, layer.cpu_intermediate, probed_rows(configs[i])}];
    if (rate == 0.0) rate = probe_layer_rate(cpu, configs[i]);
    seconds.back() = flops[i] / rate;
  }
  return seconds;
}

bool computes_whole_layer(const ExperimentConfig& config) {
  return config.layer && config.layer->cpu_hidden == config.layer->hidden &&
         config.layer->cpu_intermediate == config.layer->intermediate;
}

}  // namespace tatr
