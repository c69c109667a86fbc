#include "report/documented.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/documented_why.hpp"
#include "report/metric_list.hpp"
#include "report/network.hpp"

namespace tatr {
namespace {

bool is_time_or_ratio(const std::string& metric) {
  static const std::vector<std::string> kNames = {"gemm_ms",       "uniform_ms",     "speedup", "end_to_end_speedup",
                                                  "useful_tflops", "hardware_tflops"};
  const bool series = std::any_of(kTimingMetrics.begin(), kTimingMetrics.end(),
                                  [&](const TimingMetric& known) { return metric == known.name; });
  return series || std::find(kNames.begin(), kNames.end(), metric) != kNames.end();
}

std::optional<double> ratio_value(const std::optional<RatioInterval>& ratio) {
  return ratio ? std::optional(ratio->value) : std::nullopt;
}

/// A timing metric of one layer by its JSON name.
std::optional<double> layer_value(const std::string& metric, const LayerTiming& timing) {
  for (const TimingMetric& known : kTimingMetrics) {
    if (metric == known.name) return median_of(timing.*known.member);
  }
  if (metric == "gemm_ms") return gemm_ms(timing);
  if (metric == "speedup") return ratio_value(timing.speedup);
  if (metric == "end_to_end_speedup") return ratio_value(timing.end_to_end_speedup);
  if (metric == "output_error") return timing.output_error;
  if (metric == "uniform_ms") return timing.uniform_ms;
  if (timing.layer_ms.samples.empty()) return std::nullopt;
  if (metric == "useful_tflops") return timing.useful_tflops;
  if (metric == "hardware_tflops") return timing.hardware_tflops;
  return std::nullopt;
}

std::optional<double> measured_value(const std::string& metric, const NetworkRecord& network) {
  for (const CountMetric& known : kCountMetrics) {
    if (metric == known.name) return static_cast<double>(network.metrics.*known.member);
  }
  for (const MeanMetric& known : kMeanMetrics) {
    if (metric == known.name) return network.metrics.*known.member;
  }
  if (metric == "estimated_perplexity_change") {
    return network.quality.post_hoc ? std::optional(network.quality.post_hoc->value) : std::nullopt;
  }
  if (network.layers.size() == 1) {
    const auto& timing = network.layers.front()->timing;
    return timing ? layer_value(metric, *timing) : std::nullopt;
  }
  if (metric == "layer_ms") return network.layer_ms;
  if (metric == "gemm_ms") return network.gemm_ms;
  if (metric == "speedup") return network.speedup;
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
  if (is_time_or_ratio(figure.metric) || figure.metric == "output_error") {
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

DocumentedRecord compare_one(const DocumentedFigure& figure, const ExperimentRecord& experiment,
                             const std::vector<NetworkRecord>& networks) {
  DocumentedRecord record;
  record.figure = figure;
  const NetworkRecord* network = find_network(networks, figure, experiment.config);
  std::optional<double> value = network ? measured_value(figure.metric, *network) : std::nullopt;
  if (value && !std::isfinite(*value)) value.reset();
  const std::string contradiction = find_contradiction(figure, experiment);
  const bool reduced = value && network->cpu_reduced && is_time_or_ratio(figure.metric);
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
    if (figure.metric == "speedup") record.why += explain_tiles(*network, networks);
  } else {
    record.verdict = Verdict::kDiffers;
    record.why = explain_difference(figure, *value, *network, networks, experiment);
  }
  return record;
}

}  // namespace

bool is_share_metric(const std::string& metric) {
  return std::any_of(kMeanMetrics.begin(), kMeanMetrics.end(),
                     [&](const MeanMetric& known) { return known.is_share && metric == known.name; });
}

std::vector<DocumentedRecord> compare_documented(const ExperimentRecord& experiment) {
  const std::vector<NetworkRecord> networks = summarise_network(experiment);
  std::vector<DocumentedRecord> records;
  for (const DocumentedFigure& figure : experiment.config.documented) {
    records.push_back(compare_one(figure, experiment, networks));
  }
  return records;
}

}  // namespace tatr
