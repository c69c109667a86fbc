#include "records/metric_catalogue.hpp"

#include <algorithm>

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

}  // namespace tatr
