#include "experiment/modelled_gpu.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/error.hpp"
#include "experiment/settings.hpp"
#include "json/json_text.hpp"
#include "model/modelled_device.hpp"

namespace tatr {

namespace {

constexpr const char* kTrainingIsMeasured = "training passes are measured, not modelled";

/// Throws ConfigError, at the layer's pass or back end, where the model does not know the layer.
void check_modelled(const ExperimentConfig& config, const GpuModel& gpu) {
  if (config.layer->training) {
    throw ConfigError(config.layer->place.child("pass"),
                      std::string(kTrainingIsMeasured) + "; --device cpu or a GPU measures this one");
  }
  const std::string& backend = config.layer->backend;
  const ErrorPlace place = config.layer->place.child("backend");
  if (backend != "auto" && backend != kModelledBackEnd) {
    throw ConfigError(place, brief_json(backend),
                      "\"auto\" or \"tatr\" where a GPU is modelled: the model is of the project's own kernel");
  }
  check_layers(config, named_back_end(kModelledBackEnd, place), kernel_device(gpu));
}

}  // namespace

GpuModel gpu_of_config(const ExperimentConfig& config) {
  const std::vector<std::string> shipped = shipped_gpu_models();
  if (std::find(shipped.begin(), shipped.end(), config.model) != shipped.end()) return read_gpu_model(config.model);
  const std::filesystem::path path = std::filesystem::path(config.file).parent_path() / config.model;
  if (!std::filesystem::exists(path)) {
    throw ConfigError({config.file, "/model"}, brief_json(config.model),
                      fmt::format("a device file, or one of {}", fmt::join(shipped, ", ")));
  }
  return read_gpu_model(path.string());
}

ModelledGpu modelled_gpu(const ExperimentConfig& config, const ModelChoice& choice) {
  if (!config.layer || (!choice.of_config && !choice.named)) return {};
  if (choice.named) {
    check_modelled(config, *choice.named);
    return {choice.named, {}};
  }
  if (config.layer->training) {  // which the CPU measures now: to be told only where somebody asked for a model
    const bool asked = config.model != ExperimentConfig().model;
    return {std::nullopt, asked ? fmt::format("no GPU is modelled: {}, here on this CPU", kTrainingIsMeasured) : ""};
  }
  GpuModel gpu = gpu_of_config(config);
  try {
    check_modelled(config, gpu);
  } catch (const ConfigError& error) {
    return {std::nullopt, "no GPU is modelled: " + error.problem()};
  }
  return {std::move(gpu), {}};
}

DeviceInfo kernel_device(const GpuModel& gpu) {
  return {modelled_name(gpu), true, 90, gpu.device.multiprocessors, std::nullopt};
}

ExperimentConfig computed_beside(const ExperimentConfig& config, const GpuModel& gpu) {
  ExperimentConfig computed = config;
  if (config.router.source.counts() != nullptr) computed.layer.reset();
  if (computed.layer) {
    computed.layer->backend = "auto";
    computed.layer->autotune = false;
  }
  for (StrategyConfig& strategy : computed.strategies) {
    auto* budget = std::get_if<BudgetOptions>(&strategy.options);
    auto* waves = budget != nullptr ? std::get_if<BudgetWaves>(&budget->tiles) : nullptr;
    if (waves != nullptr && !waves->sms) waves->sms = gpu.device.multiprocessors;
  }
  return computed;
}

}  // namespace tatr
