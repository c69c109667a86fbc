#include "analysis/batches.hpp"

#include <cmath>

#include "records/metric_catalogue.hpp"

namespace tatr {

namespace {

std::optional<BatchSpread> spread_of(const RoundingMetric& metric, std::span<const RoundingMetrics> groups) {
  BatchSpread spread;
  double sum = 0, count = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (!metric.has_value(groups[g])) continue;
    const double value = metric.in(groups[g]);
    const bool worse = metric.better == Better::kHigher ? value < spread.worst : value > spread.worst;
    if (count == 0 || worse) {
      spread.worst = value;
      spread.worst_group = static_cast<std::int64_t>(g);
    }
    sum += value;
    ++count;
  }
  if (count == 0) return std::nullopt;
  spread.mean = sum / count;
  if (count == 1) return spread;
  double squares = 0;
  for (const RoundingMetrics& group : groups) {
    if (metric.has_value(group)) squares += std::pow(metric.in(group)-spread.mean, 2);
  }
  spread.deviation = std::sqrt(squares / (count - 1));
  return spread;
}

}  // namespace

std::vector<std::optional<BatchSpread>> spread_over(std::span<const RoundingMetrics> groups) {
  std::vector<std::optional<BatchSpread>> spread;
  for (const RoundingMetric& metric : kRoundingMetrics) spread.push_back(spread_of(metric, groups));
  return spread;
}

RoundingMetrics mean_over(std::span<const RoundingMetrics> groups) {
  RoundingMetrics mean;
  mean.known = groups.front().known;
  mean.tile = groups.front().tile;
  for (const RoundingMetric& metric : kRoundingMetrics) {
    double sum = 0, count = 0;
    for (const RoundingMetrics& group : groups) {
      if (!metric.has_value(group) && metric.is_known(group)) continue;
      sum += metric.in(group);
      ++count;
    }
    const double value = count == 0 ? 0.0 : sum / count;
    if (metric.is_count()) {
      mean.*metric.count = std::llround(value);
    } else {
      mean.*metric.real = value;
    }
  }
  return mean;
}

}  // namespace tatr
