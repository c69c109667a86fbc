// What follows from the experts' counts, targets and tiles alone: rows, tiles, utilisation, fills.
#pragma once

#include <cstdint>
#include <vector>

#include "rounding/rounding.hpp"

namespace tatr {

/// Rows of each expert [E] that compute something of their own: neither padding nor repeated.
std::vector<std::int32_t> useful_rows(const RoundingMetrics& metrics, Fill fill, std::int64_t tokens);

/// The part of the below that follows from the useful rows [E]: rows, tiles, utilisation, loss; not what fills are.
void add_tile_metrics(RoundingMetrics& metrics, const std::vector<std::int32_t>& tile_of,
                      const std::vector<std::int32_t>& useful);

/// The shares of all assignments, T K, from the counts; 0 of none.
void add_shares(RoundingMetrics& metrics, std::int64_t assignments);

/// Fills in `metrics` from its counts_before and counts_after [E] and each expert's tile [E]. `tokens` bounds what can
/// be added.
void add_expert_metrics(RoundingMetrics& metrics, const std::vector<std::int32_t>& tile_of, Fill fill,
                        std::int64_t tokens);

}  // namespace tatr
