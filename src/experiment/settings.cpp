#include "experiment/settings.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "model/waves.hpp"
#include "parallel/rank_rounding.hpp"
#include "rounding/rounding.hpp"
#include "source/routing_source.hpp"

namespace tatr {

std::string name_of(const Setting& setting) {
  return setting.strategy->label + " at tile " + std::to_string(setting.tile);
}

std::vector<Setting> settings_of(const ExperimentConfig& config) {
  std::vector<Setting> settings;
  for (const std::int64_t tile : config.tiles) {
    for (const StrategyConfig& strategy : config.strategies) {
      if (strategy.kind == StrategyKind::kDynamic && tile != config.tiles.front()) continue;
      settings.push_back({&strategy, tile});
    }
  }
  return settings;
}

std::int64_t most_tile(const ExperimentConfig& config) {
  const std::int64_t largest = *std::max_element(config.tiles.begin(), config.tiles.end());
  std::int64_t most = largest;
  for (const StrategyConfig& strategy : config.strategies) most = std::max(most, most_tile_of(strategy, largest));
  return most;
}

LayerShape layer_shape(const ExperimentConfig& config, const DeviceInfo& device) {
  const LayerConfig& layer = *config.layer;
  const std::int64_t most_rows =
      config.router.tokens * config.router.top_k + config.router.experts * (most_tile(config) - 1);
  std::optional<DType> gradients;
  if (layer.training) gradients = device.is_gpu && !layer.fp32_gradients ? DType::kBf16 : DType::kFp32;
  return {config.router.tokens,
          config.router.experts,
          device.is_gpu ? layer.hidden : layer.cpu_hidden,
          device.is_gpu ? layer.intermediate : layer.cpu_intermediate,
          most_rows,
          gradients};
}

LayerOptions layer_options(const ExperimentConfig& config, const Setting& setting,
                           std::vector<std::int32_t> tile_of_expert) {
  const LayerConfig& layer = *config.layer;
  LayerOptions options;
  options.backend = layer.backend;
  options.tile_rows = setting.tile;
  options.fuse_gather = layer.fuse_gather;
  options.fuse_swiglu = layer.fuse_swiglu;
  options.tile_of_expert = std::move(tile_of_expert);
  options.launch_per_tile = layer.launch_per_tile;
  options.backend_place = layer.place.child("backend");
  return options;
}

namespace {

/// What the schema cannot know: how many experts and tokens there are may stand in a file.
void check_parallel(const ExperimentConfig& config) {
  if (!config.parallel) return;
  const ParallelConfig& parallel = *config.parallel;
  const SourceShape shape = shape_of(config.router);
  const auto refuse_ranks = [&](std::int64_t most, const char* of) {
    throw ConfigError(parallel.place.child("ranks"), std::to_string(parallel.ranks),
                      "at most the number of " + std::string(of) + ", " + std::to_string(most));
  };
  for (const StrategyConfig& strategy : config.strategies) check_rank_rounding(parallel, strategy, shape.known);
  if (parallel.ranks > config.router.experts) refuse_ranks(config.router.experts, "experts");
  if (parallel.ranks > config.router.tokens) refuse_ranks(config.router.tokens, "tokens");
  if (parallel.placement == PlacementKind::kListed &&
      static_cast<std::int64_t>(parallel.listed.size()) != config.router.experts) {
    throw ConfigError(parallel.place.child("placement"),
                      "a list of " + std::to_string(parallel.listed.size()) + " items",
                      "one rank for each of the " + std::to_string(config.router.experts) + " experts");
  }
}

void check_strategies(const ExperimentConfig& config, const DeviceInfo& device) {
  ExperimentConfig resolved = config;
  resolve_waves(resolved, device);
  const Known known = shape_of(config.router).known;
  for (const StrategyConfig& strategy : config.strategies) check_strategy(strategy, known);
  check_parallel(config);
}

/// Calls check(shape, options) for the layer of every setting.
template <class Check>
void for_each_layer(const ExperimentConfig& config, const DeviceInfo& device, Check check) {
  if (!config.layer) return;
  const LayerShape shape = layer_shape(config, device);
  for (const Setting& setting : settings_of(config)) {
    std::vector<std::int32_t> tiles;  // one expert of each size stands for all
    if (setting.strategy->kind == StrategyKind::kDynamic) {
      for (const TileByLoad& step : setting.strategy->get<DynamicOptions>().tiles_by_load) {
        tiles.push_back(static_cast<std::int32_t>(step.tile));
      }
    }
    check(shape, layer_options(config, setting, tiles));
  }
}

}  // namespace

void check_settings(const ExperimentConfig& config, const DeviceInfo& device) {
  check_strategies(config, device);
  for_each_layer(config, device,
                 [&](const LayerShape& shape, const LayerOptions& options) { plan_layer(shape, options, device); });
}

void check_layers(const ExperimentConfig& config, const BackEnd& back_end, const DeviceInfo& device) {
  for_each_layer(config, device, [&](const LayerShape& shape, const LayerOptions& options) {
    could_run(back_end, gemms_of(unfused_plan(shape, options, device)), device, options.backend_place);
  });
}

void check_back_end_name(const ExperimentConfig& config) {
  if (config.layer && config.layer->backend != "auto") {
    named_back_end(config.layer->backend, config.layer->place.child("backend"));
  }
}

void check_settings(const ExperimentConfig& config) {
  const DeviceInfo hopper{"a Hopper GPU", true, 90, 132, std::nullopt};
  check_strategies(config, hopper);
  if (!config.layer || config.layer->backend == "auto") return;
  const BackEnd& back_end = named_back_end(config.layer->backend, config.layer->place.child("backend"));
  check_layers(config, back_end, back_end.on_gpu ? hopper : DeviceInfo{});
}

}  // namespace tatr
