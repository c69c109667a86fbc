#include "layer_timing.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/statistics.hpp"
#include "device/cache_flush.hpp"
#include "environment.hpp"
#include "layer/expert_layer.hpp"
#include "layer/output_error.hpp"
#include "measure/clocks.hpp"
#include "measure/sampler.hpp"
#include "measure/stopwatch.hpp"
#include "tensor/elementwise.hpp"

namespace tatr {

namespace {

/// Rows that no strategy at any tile can exceed: T K + E (M - 1).
std::int64_t rows_bound(const ExperimentConfig& config) {
  return config.router.tokens * config.router.top_k + config.router.experts * (most_tile(config) - 1);
}

LayerShape shape_of(const ExperimentConfig& config, bool cuda) {
  const LayerConfig& layer = *config.layer;
  return {config.router.tokens, config.router.experts, cuda ? layer.hidden : layer.cpu_hidden,
          cuda ? layer.intermediate : layer.cpu_intermediate, rows_bound(config)};
}

TimingSeries series_of(std::vector<double> samples, double scale = 1.0) {
  TimingSeries series;
  for (double& sample : samples) sample *= scale;
  series.median = quantile(samples, 0.5);
  series.lower_quartile = quantile(samples, 0.25);
  series.upper_quartile = quantile(samples, 0.75);
  series.samples = std::move(samples);
  return series;
}

RatioInterval ratio_of(const std::vector<double>& base, const std::vector<double>& changed) {
  const Interval interval = paired_ratio(base, changed);
  return {interval.value, interval.low, interval.high};
}

std::vector<double> sum_of(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

/// What is sampled: routing once, and for each setting its rounding, its layer and, on a GPU, the uniform yardstick.
struct Plan {
  std::vector<Candidate> candidates;
  std::vector<std::unique_ptr<Recording>> recordings;
  std::vector<std::unique_ptr<LayerRun>> runs;
  std::vector<std::unique_ptr<UniformYardstick>> yardsticks;
  std::size_t per_setting = 2;

  std::size_t route() const { return 0; }
  std::size_t round(std::size_t setting) const { return 1 + setting * per_setting; }
  std::size_t layer(std::size_t setting) const { return 2 + setting * per_setting; }
  std::size_t yardstick(std::size_t setting) const { return 3 + setting * per_setting; }
};

enum Stage : std::size_t { kGather, kUp, kActivation, kDown, kCombine };

std::string name_of(const TimedSetting& setting) {
  return setting.strategy->label + " at tile " + std::to_string(setting.tile);
}

/// Records work and gives what replays it.
std::function<void()> replay_of(Plan& plan, System& system, std::function<void()> work) {
  plan.recordings.push_back(system.record(std::move(work)));
  Recording* recording = plan.recordings.back().get();
  return [recording] {
    stop_if_interrupted();
    recording->replay();
  };
}

Plan make_plan(const ExperimentConfig& config, System& system, Routing& routing, RoundingScratch& scratch,
               std::int64_t layer_index, ExpertLayer& layer, const std::vector<TimedSetting>& settings) {
  Plan plan;
  plan.per_setting = has_uniform_yardstick(system) ? 3 : 2;
  plan.candidates.push_back({"the router", {}});
  if (routing.has_all_scores()) {  // or else, with a trace of top-k, there is nothing to route
    plan.candidates.back().stages.push_back(
        {"routing", replay_of(plan, system, [&] { route_again(system, routing, config.router); })});
  }
  for (const TimedSetting& setting : settings) {
    const std::string name = name_of(setting);
    const auto round = [&, setting, layer_index] {
      round_into(routing, *setting.strategy, setting.tile, config.seed, layer_index, system, scratch);
    };
    plan.candidates.push_back({name, {{"rounding", replay_of(plan, system, round)}}});
    plan.runs.push_back(std::make_unique<LayerRun>(
        layer, setting.rounded->dispatch,
        LayerOptions{config.layer->backend, setting.tile, config.layer->fuse_gather, config.layer->fuse_swiglu,
                     setting.rounded->tile_of_expert, config.layer->launch_per_tile}));
    LayerRun* run = plan.runs.back().get();
    plan.candidates.push_back({name,
                               {{"gather", [run] { run->gather(); }},
                                {"up-projection", [run] { run->up(); }},
                                {"SwiGLU", [run] { run->activate(); }},
                                {"down-projection", [run] { run->down(); }},
                                {"combine", [run] { run->combine(); }}}});
    if (plan.per_setting == 2) continue;
    plan.yardsticks.push_back(std::make_unique<UniformYardstick>(layer, setting.rounded->dispatch));
    UniformYardstick* yardstick = plan.yardsticks.back().get();
    plan.candidates.push_back({name,
                               {{"up-projection of the yardstick", [yardstick] { yardstick->up(); }},
                                {"down-projection of the yardstick", [yardstick] { yardstick->down(); }}}});
  }
  return plan;
}

/// Verifies every setting and gives its output's distance to that of `none`; the settings without a `none` get none.
std::vector<std::optional<OutputError>> verify_all(ExpertLayer& layer, Plan& plan,
                                                   const std::vector<TimedSetting>& settings, bool autotune,
                                                   const std::function<void(const std::string&)>& progress) {
  const auto is_none = [](const TimedSetting& setting) { return setting.strategy->kind == StrategyKind::kNone; };
  const auto none = std::find_if(settings.begin(), settings.end(), is_none);
  std::vector<std::optional<OutputError>> errors(settings.size());
  const auto verify = [&](std::size_t i) {
    stop_if_interrupted();
    progress("checking the outputs of " + name_of(settings[i]));
    plan.runs[i]->verify();
    if (!autotune) return;
    plan.runs[i]->tune();
    plan.runs[i]->verify();  // what will be timed may be another variant
  };
  for (std::size_t i = 0; i < settings.size(); ++i) verify(i);
  if (none == settings.end()) return errors;
  const auto first = static_cast<std::size_t>(none - settings.begin());  // its rows are the same at every tile
  OutputReference reference(layer, *plan.runs[first], settings[first].rounded->dispatch);
  for (std::size_t i = 0; i < settings.size(); ++i) {
    stop_if_interrupted();
    progress("comparing the outputs of " + name_of(settings[i]));
    errors[i] = reference.compare(*plan.runs[i], settings[i].rounded->dispatch);
  }
  return errors;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Overwrites what a routing chose, so that a replay that does not run, or not whole, shows.
void poison_choice(System& system, Routing& routing) {
  const auto overwrite = [&](auto& buffer) {
    const std::vector<unsigned char> ones(buffer.size() * sizeof(*buffer.data()), 0xFF);
    system.copy_from_host(buffer.data(), ones.data(), ones.size());
  };
  overwrite(routing.chosen);
  overwrite(routing.gates);
  overwrite(routing.counts);
}

/// What is timed is what was decided and verified: every recording, replayed once, gives the same bits.
void verify_replays(System& system, Plan& plan, Routing& routing, RoundingScratch& scratch,
                    const std::vector<TimedSetting>& settings) {
  const auto fail = [](const std::string& what) {
    throw VerificationError(what + ": what would be timed does not give what was decided");
  };
  if (!plan.candidates[plan.route()].stages.empty()) {
    const auto chosen = routing.chosen.to_host(), counts = routing.counts.to_host();
    const auto gates = routing.gates.to_host();
    poison_choice(system, routing);
    plan.candidates[plan.route()].stages[0].work();
    const bool same = same_bits(routing.chosen.to_host(), chosen) && same_bits(routing.gates.to_host(), gates) &&
                      same_bits(routing.counts.to_host(), counts);
    if (!same) fail("the router, routing");
  }
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const Candidate& candidate = plan.candidates[plan.round(i)];
    poison_dispatch(system, scratch);
    candidate.stages[0].work();
    const Dispatch replayed = dispatch_of(system, scratch);
    const Dispatch& decided = settings[i].rounded->dispatch;
    const bool same = same_bits(replayed.offsets.to_host(), decided.offsets.to_host()) &&
                      same_bits(replayed.token.to_host(), decided.token.to_host()) &&
                      same_bits(replayed.gate.to_host(), decided.gate.to_host());
    if (!same) fail(candidate.name + ", rounding");
  }
}

SamplingRules rules_of(const MeasureConfig& measure) {
  SamplingRules rules;
  rules.most_rounds = static_cast<int>(measure.samples);
  rules.cold_caches = measure.cold_l2;
  rules.enough_width = measure.precision;
  rules.least_warm_up_ms = measure.warm_up_ms;
  return rules;
}

/// FLOPs of one row: 2 per multiply-add, 3 I H of them.
double row_flops(const LayerTiming& timing) {
  return 6.0 * static_cast<double>(timing.hidden) * static_cast<double>(timing.intermediate);
}

/// What a device reaches on dense work, measured: 8192^3 bf16 by cuBLAS, and a device-to-device copy, read and written
/// bytes.
struct Ceilings {
  double flops, bytes;  // a second
};

std::optional<Ceilings> ceilings_of(const std::string& device) {
  if (device == "NVIDIA H100 80GB HBM3") return Ceilings{790e12, 3.0e12};
  return std::nullopt;
}

/// Rows [R, in] times weights [E, columns, in] of the experts that have rows, into [R, out] (fewer than columns where
/// SwiGLU is fused).
GemmFloor floor_of(const Ceilings& ceilings, const RoundingMetrics& metrics, std::int64_t in, std::int64_t columns,
                   std::int64_t out) {
  constexpr double kBytes = 2.0;  // bf16
  const auto used = static_cast<double>(std::count_if(metrics.tiles_per_expert.begin(), metrics.tiles_per_expert.end(),
                                                      [](std::int32_t tiles) { return tiles > 0; }));
  const double useful = static_cast<double>(metrics.rows - metrics.padded - metrics.duplicated);
  const double flops = 2.0 * useful / metrics.tile_utilisation * static_cast<double>(in * columns);
  const double bytes =
      kBytes * (used * static_cast<double>(in * columns) + static_cast<double>(metrics.rows * (in + out)));
  const double by_flops = flops / ceilings.flops * 1e3, by_bytes = bytes / ceilings.bytes * 1e3;
  return {std::max(by_flops, by_bytes), by_bytes > by_flops};
}

void add_rates(LayerTiming& timing, const RoundingMetrics& metrics) {
  const double seconds = timing.layer_ms.median * 1e-3;
  if (seconds <= 0.0) return;
  const double useful = static_cast<double>(metrics.rows - metrics.padded - metrics.duplicated);
  const double hardware = useful / metrics.tile_utilisation;  // rows of whole tiles
  timing.useful_tflops = useful * row_flops(timing) / seconds * 1e-12;
  timing.hardware_tflops = hardware * row_flops(timing) / seconds * 1e-12;
}

}  // namespace

std::int64_t most_tile(const ExperimentConfig& config) {
  const std::int64_t largest = *std::max_element(config.tiles.begin(), config.tiles.end());
  std::int64_t most = largest;
  for (const StrategyConfig& strategy : config.strategies) most = std::max(most, most_tile_of(strategy, largest));
  return most;
}

std::size_t timing_bytes(const ExperimentConfig& config, std::size_t settings, const System& system) {
  const LayerShape shape = shape_of(config, system.is_cuda());
  const std::size_t element = element_bytes(system);

  const auto tokens = static_cast<std::size_t>(shape.tokens);
  const std::size_t assignments = tokens * static_cast<std::size_t>(config.router.top_k);
  const std::size_t by_token = (tokens + assignments) * 4 * settings;
  const std::size_t reference = tokens * static_cast<std::size_t>(shape.hidden) * element;
  const std::size_t comparing = static_cast<std::size_t>(shape.most_rows) * 4 + tokens * 8;
  return layer_bytes(shape, element) + reference + comparing + by_token + CacheFlush::bytes(system);
}

std::vector<LayerTiming> time_layer(const ExperimentConfig& config, System& system, Routing& routing,
                                    RoundingScratch& scratch, std::int64_t layer_index,
                                    const std::vector<TimedSetting>& settings,
                                    const std::function<void(const std::string&)>& progress,
                                    std::vector<std::string>& warnings) {
  const LayerShape shape = shape_of(config, system.is_cuda());

  ExpertLayer layer(system, shape, config.seed);
  Plan plan = make_plan(config, system, routing, scratch, layer_index, layer, settings);
  const std::vector<std::optional<OutputError>> output_errors =
      verify_all(layer, plan, settings, config.layer->autotune, progress);

  progress("checking what will be timed");
  verify_replays(system, plan, routing, scratch, settings);
  progress("timing");
  const auto watch = make_stopwatch(system);
  const auto monitor = system.is_cuda() ? make_device_monitor(system.index()) : nullptr;
  const auto read_state = [&] { return monitor ? monitor->read() : DeviceState{}; };
  DeviceState before;
  const std::vector<Series> series =
      sample_interleaved(plan.candidates, rules_of(config.measure), *watch, [&] { before = read_state(); });
  const DeviceState after = read_state();

  if (const auto warning = clock_warning(before, after)) warnings.push_back(*warning);
  if (const auto warning = drift_warning(round_drift(series))) warnings.push_back(*warning);

  std::vector<LayerTiming> timings;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const Series& own = series[plan.layer(i)];
    LayerTiming timing;
    timing.backend = plan.runs[i]->backend();
    timing.fuses_gather = plan.runs[i]->fuses_gather();
    timing.fuses_swiglu = plan.runs[i]->fuses_swiglu();
    timing.granule_rows = plan.runs[i]->granule_rows();
    timing.launches = plan.runs[i]->launches();
    timing.up_variant = plan.runs[i]->up_variant();
    timing.down_variant = plan.runs[i]->down_variant();
    timing.hidden = shape.hidden;
    timing.intermediate = shape.intermediate;
    timing.cpu_reduced = shape.hidden != config.layer->hidden || shape.intermediate != config.layer->intermediate;
    timing.route_us = series_of(series[plan.route()].total_ms, 1e3);
    timing.round_us = series_of(series[plan.round(i)].total_ms, 1e3);
    timing.layer_ms = series_of(own.total_ms);
    timing.gather_ms = series_of(own.stage_ms[kGather]);
    timing.up_ms = series_of(own.stage_ms[kUp]);
    timing.activation_ms = series_of(own.stage_ms[kActivation]);
    timing.down_ms = series_of(own.stage_ms[kDown]);
    timing.combine_ms = series_of(own.stage_ms[kCombine]);
    if (output_errors[i]) {
      timing.output_error = output_errors[i]->overall;
      timing.output_error_worst_percent = output_errors[i]->worst_percent;
      timing.output_error_dropped = output_errors[i]->dropped;
      timing.output_error_added = output_errors[i]->added;
      timing.output_error_rescaled = output_errors[i]->rescaled;
    }
    timing.sm_clock_mhz = after.sm_clock_mhz;
    timing.power_w = after.power_w;

    if (!plan.yardsticks.empty()) {
      timing.uniform_samples_ms = series[plan.yardstick(i)].total_ms;
      timing.uniform_ms = quantile(timing.uniform_samples_ms, 0.5);
    }
    add_rates(timing, settings[i].rounded->metrics);
    if (const auto ceilings = ceilings_of(device_name(system))) {
      const RoundingMetrics& metrics = settings[i].rounded->metrics;
      const std::int64_t up_out = timing.fuses_swiglu ? shape.intermediate : 2 * shape.intermediate;
      timing.up_floor = floor_of(*ceilings, metrics, shape.hidden, 2 * shape.intermediate, up_out);
      timing.down_floor = floor_of(*ceilings, metrics, shape.intermediate, shape.hidden, shape.hidden);
    }
    if (const auto warning = outlier_warning(own.total_ms)) {
      warnings.push_back(settings[i].strategy->label + ": " + *warning);
    }
    const std::string note = plan.runs[i]->note();
    if (!note.empty() && std::find(warnings.begin(), warnings.end(), note) == warnings.end()) warnings.push_back(note);

    timings.push_back(std::move(timing));
  }
  if (system.is_cuda() && plan.yardsticks.empty()) warnings.push_back("libcublas is not found: no uniform yardstick");
  // Speed-ups against `none` at the same tile, from pairs of the same round.
  for (std::size_t i = 0; i < settings.size(); ++i) {
    for (std::size_t j = 0; j < settings.size(); ++j) {
      if (settings[j].strategy->kind != StrategyKind::kNone || settings[j].tile != settings[i].tile) continue;
      const std::vector<double>& none = series[plan.layer(j)].total_ms;
      const std::vector<double>& own = series[plan.layer(i)].total_ms;
      const std::vector<double>& route_ms = series[plan.route()].total_ms;
      timings[i].speedup = ratio_of(none, own);
      timings[i].end_to_end_speedup = ratio_of(sum_of(sum_of(none, route_ms), series[plan.round(j)].total_ms),
                                               sum_of(sum_of(own, route_ms), series[plan.round(i)].total_ms));
      break;
    }
  }
  return timings;
}

}  // namespace tatr
