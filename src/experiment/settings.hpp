// What an experiment goes through: its strategies at its tiles, and the largest shapes that come of them.
#pragma once

#include <cstdint>
#include <vector>

#include "layer/expert_layer.hpp"
#include "layer/layer_plan.hpp"
#include "options/options.hpp"

namespace tatr {

/// One strategy at one tile, in the order of the report. `dynamic` has tiles of its own: it runs once, not once a tile.
struct Setting {
  const StrategyConfig* strategy;
  std::int64_t tile;
};

/// "nearest at tile 128"
std::string name_of(const Setting& setting);

/// Points into the config, which must outlive the settings.
std::vector<Setting> settings_of(const ExperimentConfig& config);

/// The largest tile that any strategy of the experiment uses.
std::int64_t most_tile(const ExperimentConfig& config);

/// The layer that a device runs, with room for any strategy's rows: T K + E (M - 1). The config has a layer.
LayerShape layer_shape(const ExperimentConfig& config, const DeviceInfo& device);

/// How a setting's layer is run. `tile_of_expert`: [E] where experts have tiles of their own, else empty.
LayerOptions layer_options(const ExperimentConfig& config, const Setting& setting,
                           std::vector<std::int32_t> tile_of_expert);

/// That a back end could run every setting's layer on such a device, at hand or not. The config has a layer. Throws
/// ConfigError at the layer's back end.
void check_layers(const ExperimentConfig& config, const BackEnd& back_end, const DeviceInfo& device);

/// That there is a back end of the config's name, asked of every config before the first runs. Throws ConfigError.
void check_back_end_name(const ExperimentConfig& config);

/// Asks strategies, waves and back ends whether they can do what the config wants on a device, before any work. Throws
/// ConfigError.
void check_settings(const ExperimentConfig& config, const DeviceInfo& device);

/// The same of a device that need not be at hand: a Hopper GPU where the config's back end is for GPUs, else the CPU.
void check_settings(const ExperimentConfig& config);

}  // namespace tatr
