// Several groups of tokens, as steps of training or serving have them: what a metric is over all of them.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "records/records.hpp"

namespace tatr {

/// In the order of kRoundingMetrics.
std::vector<std::optional<BatchSpread>> spread_over(std::span<const RoundingMetrics> groups);

/// Of each metric the mean (of counts the nearest whole number), without lists by expert; at least one group.
RoundingMetrics mean_over(std::span<const RoundingMetrics> groups);

}  // namespace tatr
