#include "model/waves.hpp"

#include <cmath>

#include "core/error.hpp"
#include "core/integer_math.hpp"
#include "gemm/sm90/gemm_config.hpp"

namespace tatr {

std::vector<std::optional<WaveShape>> resolve_waves(ExperimentConfig& config, const DeviceInfo& device) {
  std::vector<std::optional<WaveShape>> shapes;
  for (StrategyConfig& strategy : config.strategies) {
    const auto* asked = std::get_if<BudgetWaves>(&strategy.get<BudgetOptions>().tiles);
    shapes.emplace_back();
    if (asked == nullptr) continue;
    const ErrorPlace place = strategy.place.child("tiles");
    if (!config.layer) throw ConfigError(place, "waves are those of a layer's up-projection, but layer is null");
    const std::int64_t sms = asked->sms.value_or(device.multiprocessors);
    if (sms == 0) throw ConfigError(place, "waves without a GPU need \"sms\", its number of multiprocessors");
    const std::int64_t column_tiles =
        ceil_div<std::int64_t>(2 * config.layer->intermediate, block_columns(Schedule::kCooperative));
    const double wanted = asked->waves;
    shapes.back() = WaveShape{wanted, sms, column_tiles};
    const double tiles = std::floor(wanted * static_cast<double>(sms) / static_cast<double>(column_tiles));
    std::get<BudgetOptions>(strategy.options).tiles = BudgetTotalTiles{static_cast<std::int64_t>(tiles)};
  }
  return shapes;
}

WaveRecord describe_waves(const WaveShape& shape, const RoundingMetrics& metrics) {
  std::int64_t nearest = 0;
  for (const std::int64_t count : metrics.counts_before) {
    const std::int64_t rem = count % metrics.tile;
    nearest += count / metrics.tile + (rem > metrics.tile - rem ? 1 : 0);
  }
  const auto waves_of = [&](std::int64_t tiles) {
    return static_cast<double>(tiles * shape.column_tiles) / static_cast<double>(shape.sms);
  };
  return {shape.waves, shape.sms, shape.column_tiles, waves_of(metrics.tiles), nearest, waves_of(nearest)};
}

}  // namespace tatr
