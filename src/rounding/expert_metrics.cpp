// The per-expert part of the metrics, in plain host arithmetic.
#include "rounding/expert_metrics.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/integer_math.hpp"

namespace tatr {

void add_expert_metrics(RoundingMetrics& metrics, const std::vector<std::int32_t>& tile_of, Fill fill,
                        std::int64_t tokens) {
  const std::size_t experts = metrics.counts_before.size();
  metrics.tiles_per_expert.resize(experts);
  metrics.last_tile_utilisation.resize(experts);
  std::int64_t tile_rows = 0, with_rows = 0;
  double utilisation_sum = 0.0, loss_sum = 0.0;
  for (std::size_t e = 0; e < experts; ++e) {
    const std::int64_t count = metrics.counts_before[e], target = metrics.counts_after[e], tile = tile_of[e];
    const std::int64_t tiles = ceil_div(target, tile);
    const std::int64_t extra = std::max<std::int64_t>(target - count, 0);
    const std::int64_t added = fill == Fill::kNextBest ? std::min(extra, tokens - count) : 0;
    const std::int64_t duplicated = fill == Fill::kDuplicate ? extra : 0;
    const std::int64_t useful = target - (extra - added);
    metrics.rows += target;
    metrics.tiles += tiles;
    metrics.added += added;
    metrics.duplicated += duplicated;
    metrics.padded += extra - added - duplicated;
    metrics.starved_experts += count > 0 && target == 0;
    metrics.tiles_per_expert[e] = static_cast<std::int32_t>(tiles);
    metrics.last_tile_utilisation[e] = -1.0;
    loss_sum += static_cast<double>(count % tile) / static_cast<double>(tile);
    if (tiles == 0) continue;
    tile_rows += tiles * tile;
    ++with_rows;
    utilisation_sum += static_cast<double>(useful) / static_cast<double>(tiles * tile);
    const std::int64_t in_last = std::max<std::int64_t>(useful - (tiles - 1) * tile, 0);
    metrics.last_tile_utilisation[e] = static_cast<double>(in_last) / static_cast<double>(tile);
  }
  const std::int64_t useful_rows = metrics.rows - metrics.padded - metrics.duplicated;
  metrics.tile_utilisation = tile_rows == 0 ? 1.0 : static_cast<double>(useful_rows) / static_cast<double>(tile_rows);
  metrics.wasted_flops = 1.0 - metrics.tile_utilisation;
  metrics.mean_expert_utilisation = with_rows == 0 ? 1.0 : utilisation_sum / static_cast<double>(with_rows);
  metrics.rounding_loss = experts == 0 ? 0.0 : loss_sum / static_cast<double>(experts);
}

}  // namespace tatr
