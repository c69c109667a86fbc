#include "experiment/pipeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <numeric>
#include <utility>
#include <vector>

#include "analysis/analysis.hpp"
#include "analysis/batches.hpp"
#include "analysis/network.hpp"
#include "core/interrupt.hpp"
#include "core/memory.hpp"
#include "core/statistics.hpp"
#include "core/steps.hpp"
#include "experiment/export.hpp"
#include "experiment/layer_modelling.hpp"
#include "experiment/layer_timing.hpp"
#include "experiment/memory_estimate.hpp"
#include "experiment/rank_records.hpp"
#include "experiment/routed_group.hpp"
#include "experiment/settings.hpp"
#include "model/known_errors.hpp"
#include "model/waves.hpp"
#include "source/routing_source.hpp"

namespace tatr {

namespace {

RoutingRecord describe_routing(const RoutedGroup& group, const std::string& tensor) {
  const RouterConfig& router = group.config.router;
  const std::vector<std::int32_t>& counts = group.rounded.front().metrics.counts_before;
  RoutingRecord record;
  record.layer = group.layer;
  record.tokens = router.tokens;
  record.masked = group.masked;
  record.experts = static_cast<std::int64_t>(counts.size());
  record.top_k = router.top_k;
  record.assignments = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  record.tensor = tensor;
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

/// Gates that are not known are made up, and so is what they weigh.
void forget_output_errors(LayerTiming& timing) {
  for (const auto member :
       {&LayerTiming::output_error, &LayerTiming::output_error_worst_percent, &LayerTiming::output_error_dropped,
        &LayerTiming::output_error_added, &LayerTiming::output_error_rescaled}) {
    (timing.*member).reset();
  }
}

/// Without lists by expert.
RoundingMetrics totals_of(const RoundingMetrics& metrics) {
  RoundingMetrics totals = metrics;
  totals.counts_before = totals.counts_after = totals.tiles_per_expert = {};
  totals.last_tile_utilisation = {};
  return totals;
}

/// What every setting did to every group of one layer.
using GroupsOfSettings = std::vector<std::vector<RoundingMetrics>>;

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
    source_ = make_source(source_request_);
    layers_ = source_->layers();
    const SourceShape shape = source_->shape();
    groups_ = shape.groups;
    record_.reading = shape.reading;
    record_.trace_model = shape.model;
    parts_ = Steps(layers_.size() * groups_);
    for (const std::string& note : shape.notes) record_.warnings.push_back(note);
    groups_ == 1 ? run_layers() : run_batches();
    record_.trace_digest = source_->digest();
    for (const std::string& warning : source_->warnings()) record_.warnings.push_back(warning);
    record_.peak_bytes = system_.peak_bytes();
    analyse(record_);
    return std::move(record_);
  }

 private:
  void run_layers() {
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      RoutedGroup group = read_group(layer, 0);
      describe(group);
      if (asked_.layer) set_timings(layer, time_layer(group));
    }
  }

  /// All groups are rounded; those with median and most tiles are read once more, to be described and timed.
  void run_batches() {
    std::vector<GroupsOfSettings> totals;  // by layer
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      GroupsOfSettings& of_layer = totals.emplace_back(settings_.size());
      for (std::size_t group = 0; group < groups_; ++group) {
        const RoutedGroup routed = read_group(layer, group);
        for (std::size_t i = 0; i < settings_.size(); ++i) {
          of_layer[i].push_back(totals_of(routed.rounded[i].metrics));
        }
      }
    }
    const auto [median, worst] = median_and_worst(totals);
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      RoutedGroup group = read_group(layer, median);
      describe(group);
      for (std::size_t i = 0; i < settings_.size(); ++i) {
        add_batches(record_of(layer, i), std::move(totals[layer][i]), median, worst);
      }
      if (!asked_.layer) continue;
      std::vector<LayerTiming> timings = time_layer(group);
      group = {};
      if (worst == median) {
        set_worst_timings(layer, timings);
      } else {
        RoutedGroup largest = read_group(layer, worst);
        set_worst_timings(layer, time_layer(largest));
      }
      set_timings(layer, std::move(timings));
    }
  }

  /// By tiles of all layers: of plain top-k at the first tile, or of the first setting where it is not there.
  std::pair<std::size_t, std::size_t> median_and_worst(const std::vector<GroupsOfSettings>& totals) const {
    const auto none = std::find_if(settings_.begin(), settings_.end(), [](const Setting& setting) {
      return setting.strategy->kind == StrategyKind::kNone;
    });
    const auto setting = static_cast<std::size_t>(none == settings_.end() ? 0 : none - settings_.begin());
    std::vector<std::pair<std::int64_t, std::size_t>> tiles;  // and groups
    for (std::size_t group = 0; group < groups_; ++group) {
      tiles.emplace_back(0, group);
      for (const GroupsOfSettings& of_layer : totals) tiles.back().first += of_layer[setting][group].tiles;
    }
    std::sort(tiles.begin(), tiles.end());
    const auto most = std::lower_bound(tiles.begin(), tiles.end(), std::pair(tiles.back().first, std::size_t{0}));
    return {tiles[(groups_ - 1) / 2].second, most->second};
  }

  void add_batches(StrategyRecord& record, std::vector<RoundingMetrics> groups, std::size_t median,
                   std::size_t worst) const {
    BatchRecord batches;
    batches.tokens = config_.router.tokens;
    batches.spread = spread_over(groups);
    batches.median_group = static_cast<std::int64_t>(median);
    batches.worst_group = static_cast<std::int64_t>(worst);
    record.quality = estimate(record.strategy, tile_group(record, config_), mean_over(groups));
    batches.groups = std::move(groups);
    record.batches = std::move(batches);
  }

  RoutedGroup read_group(std::size_t layer, std::size_t group) {
    place_ = layers_.size() > 1 ? fmt::format("layer {} of {}: ", layer + 1, layers_.size()) : "";
    if (groups_ > 1) place_ += fmt::format("group {} of {}: ", group + 1, groups_);
    parts_.next();
    const std::string left = parts_.left();
    place_with_time_ = left.empty() ? place_ : place_.substr(0, place_.size() - 2) + ", " + left + ": ";
    tell("routing");
    const GroupRequest request{config_, settings_, system_, [this](const Doing& doing) { tell(doing); }};
    return round_group(request, source_->read(system_, layer, group), static_cast<std::int64_t>(layer),
                       static_cast<std::int64_t>(group));
  }

  void describe(const RoutedGroup& group) {
    record_.routing.push_back(describe_routing(group, layers_[static_cast<std::size_t>(group.layer)]));
    record_.routing.back().task_loss = source_->task_loss();
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      const Setting& setting = settings_[i];
      record_.strategies.push_back(describe_strategy(setting, group.rounded[i], group.layer));
      if (asked_.parallel) record_.strategies.back().parallel = describe_ranks(group.config, group.rounded[i]);
      if (options_.export_folder.empty()) continue;
      export_rounding(
          export_stem(options_.export_folder, config_.name, group.layer, setting.tile, setting.strategy->label),
          group.rounded[i]);
    }
  }

  StrategyRecord& record_of(std::size_t layer, std::size_t setting) {
    return record_.strategies[layer * settings_.size() + setting];
  }

  void set_timings(std::size_t layer, std::vector<LayerTiming> timings) {
    for (std::size_t i = 0; i < settings_.size(); ++i) record_of(layer, i).timing = std::move(timings[i]);
  }

  void set_worst_timings(std::size_t layer, std::vector<LayerTiming> timings) {
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      BatchRecord& batches = *record_of(layer, i).batches;
      batches.worst_layer_ms = median_of(timings[i].layer_ms);
      batches.worst_timing = std::move(timings[i]);
    }
  }

  /// Measured, or modelled beside verified outputs; in the order of the settings.
  std::vector<LayerTiming> time_layer(RoutedGroup& group) {
    std::vector<LayerTiming> timings = times_of(group);
    if (group.known < Known::kGates) std::for_each(timings.begin(), timings.end(), forget_output_errors);
    return timings;
  }

  std::vector<LayerTiming> times_of(RoutedGroup& group) {
    const TimingRequest request{group.config, settings_, group.rounded, group.layer,
                                [this](const Doing& doing) { tell(doing); }};
    if (modelled_.gpu) {
      warn_of_known_errors(group);
      return ModelledLayer(request, *asked_.layer, *modelled_.gpu, system_, group.known == Known::kScores).run();
    }
    LayerTimer timer(request, system_, *group.routing, *group.scratch);
    std::vector<LayerTiming> timings = timer.run();
    for (const std::string& warning : timer.warnings()) record_.warnings.push_back(warning);
    return timings;
  }

  /// Before all other warnings, for figures are wrong where they go for; of several layers once.
  void warn_of_known_errors(const RoutedGroup& group) {
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      const RoundingMetrics& metrics = group.rounded[i].metrics;
      const std::string error = known_error(metrics.tile, metrics.counts_after);
      const std::string place = name_of(settings_[i]) + ": ";
      const bool told = std::any_of(record_.warnings.begin(), record_.warnings.end(),
                                    [&](const std::string& warning) { return warning.starts_with(place); });
      if (!error.empty() && !told) record_.warnings.insert(record_.warnings.begin(), place + error);
    }
  }

  StrategyRecord describe_strategy(const Setting& setting, const Rounded& rounded, std::int64_t layer) const {
    StrategyRecord record;
    record.strategy = *setting.strategy;
    record.layer = layer;
    record.metrics = rounded.metrics;
    record.quality = estimate(*setting.strategy, setting.tile, rounded.metrics);
    record.warnings = rounded.warnings;
    const auto index = static_cast<std::size_t>(setting.strategy - resolved_.strategies.data());
    if (waves_[index]) record.waves = describe_waves(*waves_[index], rounded.metrics);
    return record;
  }

  /// As if all layers were like this one.
  QualityEstimate estimate(const StrategyConfig& strategy, std::int64_t tile, const RoundingMetrics& metrics) const {
    const RoundingMetrics* alone = &metrics;
    return estimate_quality(options_.calibration, config_.router, strategy, tile, {&alone, 1}, record_.trace_model);
  }

  /// What is being done, to the user and to what watches over it; stops where the user wants it.
  void tell(const Doing& doing) const {
    set_activity(config_.name + ": " + place_ + doing.what);
    options_.progress(fmt::format("{}: {}{}{}", config_.name, place_with_time_, doing.steps, doing.what));
    stop_if_interrupted();
  }

  const ExperimentConfig &asked_, &config_;  // as the user wrote it, and as it is computed
  const ModelledGpu& modelled_;
  ExperimentConfig resolved_;  // with tiles in place of waves
  System& system_;
  const RunOptions& options_;
  std::vector<std::optional<WaveShape>> waves_;  // by strategy
  std::vector<Setting> settings_;                // of the resolved config
  SourceRequest source_request_{config_.router, config_.seed, [this](const Doing& doing) { tell(doing); }};
  std::unique_ptr<RoutingSource> source_;
  std::vector<std::string> layers_;  // names of tensors
  std::size_t groups_ = 1;
  ExperimentRecord record_;
  std::string place_;            // "layer 2 of 16: "
  std::string place_with_time_;  // "layer 2 of 16, about 3 min left: "
  Steps parts_{0};               // layers and their groups
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
