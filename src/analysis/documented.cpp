#include "analysis/documented.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "analysis/batches.hpp"
#include "analysis/documented_why.hpp"
#include "analysis/network.hpp"
#include "core/format.hpp"
#include "records/metric_catalogue.hpp"

namespace tatr {
namespace {

bool is_output_error(const std::string& metric) { return metric.rfind("output_error", 0) == 0; }

std::optional<double> ratio_value(const std::optional<RatioInterval>& ratio) {
  return ratio ? std::optional(ratio->value) : std::nullopt;
}

/// A metric of one layer's timing by its JSON name: whether there is such a metric, and its value, where it was
/// measured.
struct TimingLookup {
  bool known = false;
  std::optional<double> value;
};

TimingLookup find_timing(const std::string& metric, const LayerTiming& timing) {
  for (const TimeMetric& known : kTimeMetrics) {
    if (metric == known.name) return {true, median_of(known.in(timing))};
  }
  for (const RatioMetric& known : kRatioMetrics) {
    if (metric == known.name) return {true, ratio_value(timing.*known.member)};
  }
  for (const TimingValue& known : kTimingValues) {
    if (metric == known.name) return {true, timing.*known.member};
  }
  if (metric == "gemm_ms") return {true, gemm_ms(timing)};
  return {};
}

/// All of a layer's timing, but what only compares outputs.
bool is_time_or_ratio(const std::string& metric) {
  return find_timing(metric, LayerTiming{}).known && !is_output_error(metric);
}

std::optional<double> measured_value(const std::string& metric, const NetworkRecord& network,
                                     const ExperimentRecord& experiment) {
  if (const RoundingMetric* known = find_rounding_metric(metric)) {
    const RoundingMetrics metrics = network.batches ? mean_over(network.batches->groups) : network.metrics;
    return known->is_known(metrics) ? std::optional(known->in(metrics)) : std::nullopt;
  }
  if (metric == "estimated_perplexity_change") {
    return network.quality.post_hoc ? std::optional(network.quality.post_hoc->value) : std::nullopt;
  }
  if (network.layers.size() == 1) {
    const auto& timing = first_layer(experiment, network).timing;
    return timing ? find_timing(metric, *timing).value : std::nullopt;
  }
  if (metric == "layer_ms") return network.layer_ms;
  if (metric == "gemm_ms") return network.gemm_ms;
  if (metric == "speedup") return network.speedup;
  const auto forward = &LayerTiming::forward_ms, backward = &LayerTiming::backward_ms;
  if (metric == "forward_ms") return way_ms(experiment, network, forward);
  if (metric == "backward_ms") return way_ms(experiment, network, backward);
  if (metric == "forward_speedup") return way_speedup(experiment, network, forward);
  if (metric == "backward_speedup") return way_speedup(experiment, network, backward);
  return std::nullopt;
}

bool reproduces(const std::string& metric, double documented, double measured) {
  // The last term forgives the rounding of decimal fractions, no more.
  const double tolerance = is_share_metric(metric) ? 0.005 : 0.02 * std::abs(documented);
  return std::abs(measured - documented) <= tolerance * (1 + 1e-9) + 1e-12;
}

std::string why_not_measured(const DocumentedFigure& figure, const NetworkRecord* network,
                             const ExperimentRecord& experiment) {
  if (experiment.error) return "the experiment could not be finished";
  if (network == nullptr) {
    return figure.tile == 0 ? fmt::format("no strategy '{}' was run", figure.strategy)
                            : fmt::format("no strategy '{}' was run at tile {}", figure.strategy, figure.tile);
  }
  if (figure.metric == "estimated_perplexity_change") {
    return network->quality.why_not.empty() ? "needs a calibration on a trained model; none is given"
                                            : network->quality.why_not;
  }
  if (const std::string why = why_unknown(network->metrics); find_rounding_metric(figure.metric) != nullptr) return why;
  if (find_timing(figure.metric, LayerTiming{}).known) {
    if (!experiment.config.layer) return "the config has no layer: routing and rounding only";
    if (network->layers.size() > 1) return "not measured for a network of several layers";
    return "this run did not measure it";
  }
  return "tatr-sim does not measure this: it needs a trained model and its evaluation data";
}

const NetworkRecord* find_network(const std::vector<NetworkRecord>& networks, const DocumentedFigure& figure,
                                  const ExperimentConfig& config) {
  const std::int64_t tile = figure.tile != 0 || config.tiles.empty() ? figure.tile : config.tiles.front();
  for (const NetworkRecord& network : networks) {
    if (network.label == figure.strategy && (network.tile == tile || network.tile == 0)) return &network;
  }
  return nullptr;
}

/// A modelled time is no measurement, and stands in the reason only.
DocumentedRecord not_measured_but_modelled(DocumentedRecord record, double value) {
  record.verdict = Verdict::kNotMeasured;
  record.why = fmt::format("modelled, not measured: {}", format_value(value));
  return record;
}

DocumentedRecord compare_one(const DocumentedFigure& figure, const ExperimentRecord& experiment) {
  const std::vector<NetworkRecord>& networks = experiment.network;
  DocumentedRecord record;
  record.figure = figure;
  const NetworkRecord* network = find_network(networks, figure, experiment.config);
  std::optional<double> value = network ? measured_value(figure.metric, *network, experiment) : std::nullopt;
  if (value && !std::isfinite(*value)) value.reset();
  const std::string contradiction = find_contradiction(figure, experiment);
  const bool timed = value && is_time_or_ratio(figure.metric);
  if (timed && network->timing_kind == TimingKind::kModelled)
    return not_measured_but_modelled(std::move(record), *value);
  const bool reduced = timed && network->cpu_reduced;
  if (value) record.measured = value;

  if (value && !reduced && reproduces(figure.metric, figure.value, *value)) {
    record.verdict = Verdict::kReproduced;
    record.why = is_share_metric(figure.metric) ? "within 0.5 points" : "within 2 %";
    if (!contradiction.empty()) record.why += ", though " + contradiction;
  } else if (!contradiction.empty()) {
    record.verdict = Verdict::kInconsistent;
    record.why = contradiction;
  } else if (!value) {
    record.verdict = Verdict::kNotMeasured;
    record.why = why_not_measured(figure, network, experiment);
  } else if (reduced) {
    record.verdict = Verdict::kNotMeasured;
    record.why = "measured on a reduced CPU layer; not comparable";
    if (is_speedup(figure.metric)) record.why += explain_rows(figure.metric, *network, experiment);
  } else {
    record.verdict = Verdict::kDiffers;
    record.why = explain_difference(figure, *value, *network, experiment);
  }
  return record;
}

}  // namespace

std::vector<DocumentedRecord> compare_documented(const ExperimentRecord& experiment) {
  std::vector<DocumentedRecord> records;
  for (const DocumentedFigure& figure : experiment.config.documented) {
    records.push_back(compare_one(figure, experiment));
  }
  return records;
}

}  // namespace tatr
