#include "experiment/pipeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>
#include <vector>

#include "analysis/analysis.hpp"
#include "core/interrupt.hpp"
#include "core/memory.hpp"
#include "core/statistics.hpp"
#include "experiment/export.hpp"
#include "experiment/layer_modelling.hpp"
#include "experiment/layer_timing.hpp"
#include "experiment/memory_estimate.hpp"
#include "experiment/settings.hpp"
#include "model/waves.hpp"
#include "source/routing_source.hpp"

namespace tatr {

namespace {

RoutingRecord describe_routing(const Routing& routing, std::int64_t layer, const std::string& tensor) {
  RoutingRecord record;
  record.layer = layer;
  record.tokens = routing.tokens;
  record.experts = routing.experts;
  record.top_k = routing.top_k;
  record.assignments = record.tokens * record.top_k;
  record.tensor = tensor;
  const std::vector<std::int32_t> counts = routing.counts.to_host();
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  record.count_min = *least;
  record.count_max = *most;
  record.count_median = quantile({counts.begin(), counts.end()}, 0.5);
  const double mean = static_cast<double>(record.assignments) / static_cast<double>(record.experts);
  double squares = 0.0;
  for (const std::int32_t count : counts) squares += (count - mean) * (count - mean);
  record.count_cv = std::sqrt(squares / static_cast<double>(record.experts)) / mean;
  return record;
}

/// An experiment as it is computed here, and the GPU that its times are modelled on, if any.
struct Computed {
  ExperimentConfig config;
  ModelledGpu modelled;
};

Computed computed_of(const ExperimentConfig& asked, const RunOptions& options) {
  Computed computed{asked, modelled_gpu(asked, options.model)};
  if (!computed.modelled.gpu) return computed;
  computed.config = computed_beside(asked, *computed.modelled.gpu);
  if (!options.verify_modelled) computed.config.layer.reset();
  return computed;
}

/// What the layers of an experiment share as they are worked through.
class Pipeline {
 public:
  Pipeline(const ExperimentConfig& asked, const Computed& computed, System& system, const RunOptions& options)
      : asked_(asked),
        config_(computed.config),
        modelled_(computed.modelled),
        resolved_(config_),
        system_(system),
        options_(options),
        waves_(resolve_waves(resolved_, system.device())),
        settings_(settings_of(resolved_)) {}

  ExperimentRecord run() {
    record_.config = asked_;
    record_.model = modelled_.gpu;
    if (!modelled_.warning.empty()) record_.warnings.push_back(modelled_.warning);
    record_.calibration = options_.calibration;
    record_.estimated_bytes = estimate_memory(config_, system_).on_system();
    system_.reset_peak();
    const SourceRequest request{config_.router, config_.seed, [this](const std::string& doing) { tell(doing); }};
    const auto source = make_source(request);
    const std::vector<std::string> layers = source->layers();
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      layer_ = static_cast<std::int64_t>(layer);
      place_ = layers.size() > 1 ? fmt::format("layer {} of {}: ", layer + 1, layers.size()) : "";
      run_layer(*source, layers[layer]);
    }
    record_.trace_digest = source->digest();
    record_.peak_bytes = system_.peak_bytes();
    analyse(record_);
    return std::move(record_);
  }

 private:
  void run_layer(RoutingSource& source, const std::string& tensor) {
    tell("routing");
    Routing routing = route_input(system_, source.read(system_, static_cast<std::size_t>(layer_)), config_.router);
    record_.routing.push_back(describe_routing(routing, layer_, tensor));
    record_.routing.back().task_loss = source.task_loss();
    RoundingScratch scratch(system_, routing.tokens, routing.experts, routing.top_k, most_tile(config_));
    std::vector<Rounded> rounded;
    for (const Setting& setting : settings_) {
      tell(name_of(setting));
      rounded.push_back(
          round_routing(routing, {*setting.strategy, setting.tile, config_.seed, layer_}, system_, scratch));
      record_.strategies.push_back(describe_strategy(setting, rounded.back()));
      if (!options_.export_folder.empty()) {
        export_rounding(
            export_stem(options_.export_folder, config_.name, layer_, setting.tile, setting.strategy->label),
            rounded.back());
      }
    }
    if (!asked_.layer) return;
    std::vector<LayerTiming> timings = time_layer(routing, rounded, scratch);
    const std::size_t first = record_.strategies.size() - settings_.size();
    for (std::size_t i = 0; i < settings_.size(); ++i) record_.strategies[first + i].timing = std::move(timings[i]);
  }

  /// Measured, or modelled beside verified outputs; in the order of the settings.
  std::vector<LayerTiming> time_layer(Routing& routing, const std::vector<Rounded>& rounded, RoundingScratch& scratch) {
    const TimingRequest request{config_, settings_, rounded, layer_, [this](const std::string& doing) { tell(doing); }};
    if (modelled_.gpu) {
      return ModelledLayer(request, *asked_.layer, *modelled_.gpu, system_, routing.has_all_scores()).run();
    }
    LayerTimer timer(request, system_, routing, scratch);
    std::vector<LayerTiming> timings = timer.run();
    for (const std::string& warning : timer.warnings()) record_.warnings.push_back(warning);
    return timings;
  }

  StrategyRecord describe_strategy(const Setting& setting, const Rounded& rounded) const {
    const RoundingMetrics* alone = &rounded.metrics;
    StrategyRecord record;
    record.strategy = *setting.strategy;
    record.layer = layer_;
    record.metrics = rounded.metrics;
    record.quality =
        estimate_quality(options_.calibration, config_.router, *setting.strategy, setting.tile, {&alone, 1});
    record.warnings = rounded.warnings;
    const auto index = static_cast<std::size_t>(setting.strategy - resolved_.strategies.data());
    if (waves_[index]) record.waves = describe_waves(*waves_[index], rounded.metrics);
    return record;
  }

  /// What is being done, to the user and to what watches over it; stops where the user wants it.
  void tell(const std::string& doing) const {
    const std::string text = config_.name + ": " + place_ + doing;
    set_activity(text);
    options_.progress(text);
    stop_if_interrupted();
  }

  const ExperimentConfig &asked_, &config_;  // as the user wrote it, and as it is computed
  const ModelledGpu& modelled_;
  ExperimentConfig resolved_;  // with tiles in place of waves
  System& system_;
  const RunOptions& options_;
  std::vector<std::optional<WaveShape>> waves_;  // by strategy
  std::vector<Setting> settings_;                // of the resolved config
  ExperimentRecord record_;
  std::int64_t layer_ = 0;
  std::string place_;  // "layer 2 of 16: "
};

}  // namespace

ExperimentRecord run_experiment(const ExperimentConfig& config, System& system, const RunOptions& options) {
  try {
    const Computed computed = computed_of(config, options);
    check_settings(computed.config, system.device());
    check_memory(computed.config, system);
    return Pipeline(config, computed, system, options).run();
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

bool leaves_others_alone(const Error& error) {
  return error.code() == ExitCode::kVerification || error.code() == ExitCode::kUsage ||
         dynamic_cast<const OutOfMemoryError*>(&error) != nullptr;
}

std::string describe_failure(const ExperimentConfig& config, const Error& error) {
  const bool named = dynamic_cast<const DeviceTimeoutError*>(&error) != nullptr;  // by its activity
  if (named || error.code() == ExitCode::kInterrupted) return error.what();
  return config.name + ": " + error.what();
}

}  // namespace tatr
