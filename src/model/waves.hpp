// `budget` by waves: turns "as many tiles as fill so many waves" into a number of tiles, and says what that gained.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "device/device_info.hpp"
#include "options/options.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// What a budget of waves came to. A wave is as many output tiles of the up-projection as there are multiprocessors;
/// modelled.
struct WaveRecord {
  double asked = 0;
  std::int64_t sms = 0, column_tiles = 0;  // output tiles that a tile of rows has side by side
  double filled = 0;
  std::int64_t nearest_tiles = 0;  // what nearest uses
  double nearest_waves = 0;
};

/// What each strategy of a config that asks for waves runs on; nothing for the others.
struct WaveShape {
  double waves = 0;
  std::int64_t sms = 0, column_tiles = 0;  // column_tiles: of the up-projection's output, 2I / 256 rounded up
};

/// Replaces the waves in `config` by tiles: as many as waves * sms output tiles have room for. Returns a shape for each
/// strategy. Throws ConfigError where there is no layer, or no GPU and no "sms".
std::vector<std::optional<WaveShape>> resolve_waves(ExperimentConfig& config, const DeviceInfo& device);

/// Waves that the tiles fill, and what as many tiles as `nearest` uses would take. Modelled.
WaveRecord describe_waves(const WaveShape& shape, const RoundingMetrics& metrics);

}  // namespace tatr
