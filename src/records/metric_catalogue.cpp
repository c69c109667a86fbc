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

}  // namespace tatr
