#include "records/metric_catalogue.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

namespace tatr {

const RoundingMetric* find_rounding_metric(std::string_view name) {
  const auto found = std::find_if(std::begin(kRoundingMetrics), std::end(kRoundingMetrics),
                                  [&](const RoundingMetric& metric) { return metric.name == name; });
  return found == std::end(kRoundingMetrics) ? nullptr : found;
}

bool is_share_metric(std::string_view name) {
  const RoundingMetric* metric = find_rounding_metric(name);
  return metric != nullptr && metric->is_share();
}

std::string why_unknown(const RoundingMetrics& metrics) {
  switch (metrics.known) {
    case Known::kCounts:
      return "only counts of tokens per expert are known: neither which tokens they are nor their gates";
    case Known::kChoices:
      return "gates are not known: the file holds the experts that tokens chose without their scores";
    case Known::kGates:
    case Known::kScores:
      return {};
  }
  return {};
}

const std::optional<BatchSpread>& spread_of(const BatchRecord& batches, std::string_view metric) {
  return batches.spread[static_cast<std::size_t>(find_rounding_metric(metric) - std::begin(kRoundingMetrics))];
}

double mean_of(const NetworkRecord& network, std::string_view metric) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  if (network.batches) {
    const std::optional<BatchSpread>& spread = spread_of(*network.batches, metric);
    return spread ? spread->mean : kUnknown;
  }
  const RoundingMetric& row = *find_rounding_metric(metric);
  return row.has_value(network.metrics) ? row.in(network.metrics) : kUnknown;
}

}  // namespace tatr
