// The per-expert part of the metrics, in plain host arithmetic.
#include "rounding/expert_metrics.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/integer_math.hpp"

namespace tatr {

namespace {

/// What fills the rows of one expert beyond its own.
struct Fills {
  std::int64_t added = 0, duplicated = 0, padded = 0;

  Fills(std::int64_t count, std::int64_t target, Fill fill, std::int64_t tokens) {
    const std::int64_t extra = std::max<std::int64_t>(target - count, 0);
    if (fill == Fill::kNextBest) added = std::min(extra, tokens - count);
    if (fill == Fill::kDuplicate) duplicated = extra;
    padded = extra - added - duplicated;
  }
};

}  // namespace

std::vector<std::int32_t> useful_rows(const RoundingMetrics& metrics, Fill fill, std::int64_t tokens) {
  std::vector<std::int32_t> useful;
  for (std::size_t e = 0; e < metrics.counts_before.size(); ++e) {
    const Fills fills(metrics.counts_before[e], metrics.counts_after[e], fill, tokens);
    useful.push_back(static_cast<std::int32_t>(metrics.counts_after[e] - fills.duplicated - fills.padded));
  }
  return useful;
}

void add_tile_metrics(RoundingMetrics& metrics, const std::vector<std::int32_t>& tile_of,
                      const std::vector<std::int32_t>& useful) {
  const std::size_t experts = metrics.counts_before.size();
  metrics.tiles_per_expert.resize(experts);
  metrics.last_tile_utilisation.resize(experts);
  std::int64_t tile_rows = 0, with_rows = 0, useful_rows = 0;
  double utilisation_sum = 0.0, loss_sum = 0.0;
  for (std::size_t e = 0; e < experts; ++e) {
    const std::int64_t count = metrics.counts_before[e], target = metrics.counts_after[e], tile = tile_of[e];
    const std::int64_t tiles = ceil_div(target, tile);
    metrics.rows += target;
    metrics.tiles += tiles;
    metrics.starved_experts += count > 0 && target == 0;
    metrics.tiles_per_expert[e] = static_cast<std::int32_t>(tiles);
    metrics.last_tile_utilisation[e] = -1.0;
    loss_sum += static_cast<double>(count % tile) / static_cast<double>(tile);
    if (tiles == 0) continue;
    tile_rows += tiles * tile;
    useful_rows += useful[e];
    ++with_rows;
    utilisation_sum += static_cast<double>(useful[e]) / static_cast<double>(tiles * tile);
    const std::int64_t in_last = std::max<std::int64_t>(useful[e] - (tiles - 1) * tile, 0);
    metrics.last_tile_utilisation[e] = static_cast<double>(in_last) / static_cast<double>(tile);
  }
  metrics.tile_utilisation = tile_rows == 0 ? 1.0 : static_cast<double>(useful_rows) / static_cast<double>(tile_rows);
  metrics.wasted_flops = 1.0 - metrics.tile_utilisation;
  metrics.mean_expert_utilisation = with_rows == 0 ? 1.0 : utilisation_sum / static_cast<double>(with_rows);
  metrics.rounding_loss = experts == 0 ? 0.0 : loss_sum / static_cast<double>(experts);
}

void add_shares(RoundingMetrics& metrics, std::int64_t assignments) {
  const auto share = [&](std::int64_t count) {
    return assignments == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(assignments);
  };
  metrics.dropped_share = share(metrics.dropped);
  metrics.added_share = share(metrics.added);
  metrics.padded_share = share(metrics.padded);
  metrics.duplicated_share = share(metrics.duplicated);
}

void add_expert_metrics(RoundingMetrics& metrics, const std::vector<std::int32_t>& tile_of, Fill fill,
                        std::int64_t tokens) {
  add_tile_metrics(metrics, tile_of, useful_rows(metrics, fill, tokens));
  for (std::size_t e = 0; e < metrics.counts_before.size(); ++e) {
    const Fills fills(metrics.counts_before[e], metrics.counts_after[e], fill, tokens);
    metrics.added += fills.added;
    metrics.duplicated += fills.duplicated;
    metrics.padded += fills.padded;
  }
}

}  // namespace tatr
