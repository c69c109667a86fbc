#include "experiment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <new>
#include <set>
#include <tuple>
#include <utility>

#include "config/read.hpp"
#include "core/digest.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/memory.hpp"
#include "export.hpp"
#include "layer_timing.hpp"
#include "report/documented.hpp"
#include "report/ranking.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"
#include "source/synthetic.hpp"
#include "source/trace.hpp"
#include "source/training.hpp"
#include "waves.hpp"

namespace tatr {

namespace {

bool is_trace(const ExperimentConfig& config) { return config.router.source.kind == SourceKind::kTrace; }

/// Routes a batch through a router trained first; `record` takes what it was trained to.
Routing make_trained_routing(const ExperimentConfig& config, System& system, const RunOptions& options,
                             RoutingRecord& record) {
  TrainedRouter trained = train_router(system, config.router, config.seed, [&](std::int64_t step) {
    options.progress(
        fmt::format("{}: training, step {} of {}", config.name, step + 1, config.router.source.training.steps));
    stop_if_interrupted();
  });
  record.task_loss = trained.task_loss;
  return route(system, std::move(trained.logits), config.router);
}

void add_to(Digest& digest, const TraceLayer& layer) {
  digest.add_values(layer.tensor);
  digest.add_values(std::array{layer.tokens, layer.experts, layer.top_k});
  digest.add_values(layer.logits);
  digest.add_values(layer.chosen);
  digest.add_values(layer.scores);
}

/// A trace and what was read of it so far.
struct OpenTrace {
  explicit OpenTrace(const SourceConfig& source) : reader(source) {}

  TraceLayer read(const std::string& tensor, const RouterConfig& router) {
    TraceLayer layer = reader.read_layer(tensor, router.tokens, router.experts);
    add_to(digest, layer);
    return layer;
  }

  TraceReader reader;
  Digest digest;
};

Routing make_routing(const ExperimentConfig& config, OpenTrace* trace, const std::string& tensor, System& system) {
  const RouterConfig& router = config.router;
  if (trace == nullptr) {
    return route(system, synthetic_logits(system, router.source, config.seed, router.tokens, router.experts), router);
  }
  const TraceLayer layer = trace->read(tensor, router);
  if (!layer.logits.empty()) return route(system, Buffer<float>(system, layer.logits), router);
  return routing_from_top_k(system, Buffer<std::int32_t>(system, layer.chosen), Buffer<float>(system, layer.scores),
                            router);
}

void describe_routing(const Routing& routing, std::int64_t layer, const std::string& tensor, RoutingRecord& record) {
  record.layer = layer;
  record.tokens = routing.tokens;
  record.experts = routing.experts;
  record.top_k = routing.top_k;
  record.assignments = record.tokens * record.top_k;
  record.tensor = tensor;
  std::vector<std::int32_t> counts = routing.counts.to_host();
  std::sort(counts.begin(), counts.end());
  record.count_min = counts.front();
  record.count_max = counts.back();
  const std::size_t middle = counts.size() / 2;
  record.count_median = counts.size() % 2 == 1 ? counts[middle] : 0.5 * (counts[middle - 1] + counts[middle]);
  const double mean = static_cast<double>(record.assignments) / static_cast<double>(record.experts);
  double squares = 0.0;
  for (const std::int32_t count : counts) squares += (count - mean) * (count - mean);
  record.count_cv = std::sqrt(squares / static_cast<double>(record.experts)) / mean;
}

/// One strategy at one tile, in the order of the report. `dynamic` has tiles of its own: it runs once, not once a tile.
struct Setting {
  const StrategyConfig* strategy;
  std::int64_t tile;
};

std::vector<Setting> settings_of(const ExperimentConfig& config) {
  std::vector<Setting> settings;
  for (const std::int64_t tile : config.tiles) {
    for (const StrategyConfig& strategy : config.strategies) {
      if (strategy.kind == StrategyKind::kDynamic && tile != config.tiles.front()) continue;
      settings.push_back({&strategy, tile});
    }
  }
  return settings;
}

/// The tensors of a trace, one a layer; a synthetic source is one layer without a name.
std::vector<std::string> layers_of(const ExperimentConfig& config) {
  return is_trace(config) ? inspect_trace(config.router.source).tensors : std::vector<std::string>{""};
}

}  // namespace

void resolve_trace(ExperimentConfig& config) {
  if (!is_trace(config)) return;
  RouterConfig& router = config.router;
  const TraceInfo info = inspect_trace(router.source);
  const auto refuse = [&](const char* key, std::int64_t asked, const std::string& there) {
    throw ConfigError(config.file + ":/router/" + key,
                      fmt::format("{} is asked, but {} {}", asked, router.source.path, there));
  };
  if (router.tokens == 0) router.tokens = info.tokens;
  if (router.tokens > info.tokens) {
    refuse("tokens", router.tokens, fmt::format("holds {} from token {} on", info.tokens, router.source.first_token));
  }
  if (router.tokens > kMaxTokens)
    refuse("tokens", router.tokens, fmt::format("gives more than the {} allowed", kMaxTokens));
  if (router.experts == 0) router.experts = info.experts;
  if (router.experts == 0)
    throw ConfigError(config.file + ":/router/experts", "is required: the trace does not say how many");
  if (info.experts != 0 && router.experts != info.experts) {
    refuse("experts", router.experts, fmt::format("holds logits of {}", info.experts));
  }
  if (router.experts > kMaxExperts)
    refuse("experts", router.experts, fmt::format("exceeds the {} allowed", kMaxExperts));
  if (info.top_k != 0 && router.top_k != info.top_k)
    refuse("top_k", router.top_k, fmt::format("holds the top {}", info.top_k));
  if (router.top_k > router.experts) refuse("top_k", router.top_k, fmt::format("has only {} experts", router.experts));
  check_router(router, config.file);
}

void check_traces(const std::vector<ExperimentConfig>& configs) {
  std::set<std::tuple<std::string, std::vector<std::string>, TraceValues, std::int64_t, std::int64_t, std::int64_t>>
      seen;
  for (const ExperimentConfig& config : configs) {
    const RouterConfig& router = config.router;
    const SourceConfig& source = router.source;
    if (!is_trace(config)) continue;
    if (!seen.insert({source.path, source.tensors, source.values, source.first_token, router.tokens, router.experts})
             .second) {
      continue;
    }
    check_trace_start(source, router.tokens, router.experts);
  }
}

std::string trace_digest(const ExperimentConfig& config) {
  OpenTrace trace(config.router.source);
  for (const std::string& tensor : trace.reader.inspect().tensors) trace.read(tensor, config.router);
  return trace.digest.text();
}

MemoryEstimate estimate_memory(const ExperimentConfig& config, const System& system) {
  const auto tokens = static_cast<std::size_t>(config.router.tokens);
  const auto experts = static_cast<std::size_t>(config.router.experts);
  const std::size_t assignments = tokens * static_cast<std::size_t>(config.router.top_k);
  const std::size_t settings = settings_of(config).size();
  const std::int64_t tile = most_tile(config);
  MemoryEstimate estimate;
  const std::size_t logit_bytes = keeps_bf16(system, config.router) ? 2 : 4;
  const std::size_t routing =
      tokens * experts * logit_bytes + assignments * 12 + tokens * ((experts + 31) / 32) * 4 + tokens * 8;
  const std::size_t scratch =
      RoundingScratch::bytes(system, config.router.tokens, config.router.experts, config.router.top_k, tile);
  const std::size_t sums = (assignments + tokens) * 4 + tokens / 2;
  const std::size_t dispatches = settings * (assignments + experts * static_cast<std::size_t>(tile)) * 8;
  estimate.routing_bytes = routing + scratch + sums + dispatches;
  if (config.router.source.kind == SourceKind::kTrained) {  // done before the rest is needed
    estimate.routing_bytes = std::max(estimate.routing_bytes, training_bytes(config.router));
  }
  if (config.layer) estimate.layer_bytes = timing_bytes(config, settings, system);
  // A result is held as records, as a JSON document and as text; tests/cli/limits_test.py measures it.
  constexpr std::size_t kResultCopies = 3;
  estimate.host_bytes = kResultCopies * estimate_result_bytes(config);
  if (is_trace(config)) estimate.host_bytes += std::max(tokens * experts * 4, assignments * 8);
  return estimate;
}

void check_memory(const ExperimentConfig& config, const System& system) {
  const MemoryEstimate need = estimate_memory(config, system);
  const std::size_t on_host = need.host_bytes + (system.is_cuda() ? 0 : need.on_system());
  const auto check = [&](const std::string& device, std::size_t needed, std::size_t available) {
    if (needed > available) throw OutOfMemoryError::before_work(device, needed, available);
  };
  if (system.is_cuda()) check(system.name(), need.on_system(), system.available_bytes());
  check(system.is_cuda() ? "host" : system.name(), on_host, available_host_bytes());
}

bool leaves_others_alone(const Error& error) {
  return error.code() == ExitCode::kVerification || error.code() == ExitCode::kUsage ||
         dynamic_cast<const OutOfMemoryError*>(&error) != nullptr;
}

std::size_t estimate_result_bytes(const ExperimentConfig& config) {
  constexpr std::size_t kFixed = 4096, kPerExpert = 100, kPerSample = 300;  // four lists by expert, eight series
  const std::size_t samples = config.layer ? static_cast<std::size_t>(config.measure.samples) : 0;
  const std::size_t setting =
      kFixed + kPerExpert * static_cast<std::size_t>(config.router.experts) + kPerSample * samples;
  return kFixed + config.effective_json.size() + layers_of(config).size() * settings_of(config).size() * setting;
}

namespace {

ExperimentRecord run_stages(const ExperimentConfig& config, System& system, const RunOptions& options) {
  ExperimentRecord record;
  record.config = config;
  record.calibration = options.calibration;
  record.estimated_bytes = estimate_memory(config, system).on_system();
  system.reset_peak();
  std::optional<OpenTrace> trace;
  if (is_trace(config)) trace.emplace(config.router.source);
  const std::vector<std::string> layers = trace ? trace->reader.inspect().tensors : layers_of(config);
  ExperimentConfig resolved = config;
  const std::vector<std::optional<WaveShape>> waves = resolve_waves(resolved, system);
  const std::vector<Setting> settings = settings_of(resolved);
  for (std::size_t index = 0; index < layers.size(); ++index) {
    const auto layer = static_cast<std::int64_t>(index);
    options.progress(fmt::format("{}: layer {} of {}: routing", config.name, layer + 1, layers.size()));
    stop_if_interrupted();
    RoutingRecord& described = record.routing.emplace_back();
    Routing routing = config.router.source.kind == SourceKind::kTrained
                          ? make_trained_routing(config, system, options, described)
                          : make_routing(config, trace ? &*trace : nullptr, layers[index], system);
    describe_routing(routing, layer, layers[index], described);
    RoundingScratch scratch(system, routing.tokens, routing.experts, routing.top_k, most_tile(config));
    std::vector<Rounded> rounded;
    for (const Setting& setting : settings) {
      options.progress(fmt::format("{}: layer {} of {}: {} at tile {}", config.name, layer + 1, layers.size(),
                                   setting.strategy->label, setting.tile));
      stop_if_interrupted();
      rounded.push_back(round_routing(routing, *setting.strategy, setting.tile, config.seed, layer, system, scratch));
      const Rounded& result = rounded.back();
      const RoundingMetrics* alone = &result.metrics;
      record.strategies.push_back(
          {*setting.strategy, layer, result.metrics,
           estimate_quality(options.calibration, config.router, *setting.strategy, setting.tile, {&alone, 1}),
           std::nullopt, result.warnings, std::nullopt});
      if (const auto& shape = waves[static_cast<std::size_t>(setting.strategy - resolved.strategies.data())]) {
        record.strategies.back().waves = describe_waves(*shape, result.metrics);
      }
      if (!options.export_folder.empty()) {
        export_rounding(options.export_folder, config.name, layer, setting.tile, setting.strategy->label, result);
      }
    }
    if (!config.layer) continue;
    std::vector<TimedSetting> timed;
    for (std::size_t i = 0; i < settings.size(); ++i)
      timed.push_back({settings[i].strategy, settings[i].tile, &rounded[i]});
    const auto progress = [&](const std::string& doing) {
      options.progress(fmt::format("{}: layer {} of {}: {}", config.name, layer + 1, layers.size(), doing));
    };
    const std::vector<LayerTiming> timings =
        time_layer(config, system, routing, scratch, layer, timed, progress, record.warnings);
    const std::size_t first = record.strategies.size() - settings.size();
    for (std::size_t i = 0; i < settings.size(); ++i) record.strategies[first + i].timing = timings[i];
  }
  if (trace) record.trace_digest = trace->digest.text();
  record.peak_bytes = system.peak_bytes();
  record.documented = compare_documented(record);
  const std::vector<std::string> unranked = ranking_warnings(record);
  record.warnings.insert(record.warnings.end(), unranked.begin(), unranked.end());
  return record;
}

}  // namespace

std::string describe_failure(const ExperimentConfig& config, const Error& error) {
  const bool named = dynamic_cast<const DeviceTimeoutError*>(&error) != nullptr;  // by its activity
  if (named || error.code() == ExitCode::kInterrupted) return error.what();
  return config.name + ": " + error.what();
}

ExperimentRecord run_experiment(const ExperimentConfig& config, System& system, const RunOptions& options) {
  RunOptions told = options;
  told.progress = [&](const std::string& doing) {
    set_activity(doing);
    options.progress(doing);
  };
  try {
    check_memory(config, system);
    return run_stages(config, system, told);
  } catch (const DeviceTimeoutError& error) {
    throw DeviceTimeoutError(activity() + ": " + error.what());
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw OutOfMemoryError::before_work("host", estimate_memory(config, system).host_bytes, available_host_bytes());
  } catch (const std::exception& error) {  // Thrust's own, for one
    throw EnvironmentError(system.name() + ": " + error.what());
  }
}

}  // namespace tatr
