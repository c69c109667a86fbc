// Which GPU the times of an experiment's layer are modelled on, where none is at hand to measure them. Decides what can
// be modelled: the project's own kernel, at the config's whole layer.
#pragma once

#include <optional>
#include <string>

#include "model/gpu_model.hpp"
#include "options/options.hpp"

namespace tatr {

/// What a run wants to be modelled: nothing, the GPU that each config names, or one that the user names.
struct ModelChoice {
  bool of_config = false;
  std::optional<GpuModel> named;
};

/// The back end that the model is of.
inline constexpr const char* kModelledBackEnd = "tatr";

struct ModelledGpu {
  std::optional<GpuModel> gpu;  // absent: times are measured
  std::string warning;          // why not modelled, though the config's GPU was wanted; else empty
};

/// Of the config's "model". Throws ConfigError, at /model or in the device file.
GpuModel gpu_of_config(const ExperimentConfig& config);

/// Nothing for a config without a layer. Throws ConfigError where the user's GPU is wanted and the model has no such
/// layer: a training pass, another back end than the project's own, or a shape that this one does not run.
ModelledGpu modelled_gpu(const ExperimentConfig& config, const ModelChoice& choice);

/// The device as the project's kernel is asked of it: it models what a Hopper GPU of so many multiprocessors would do.
DeviceInfo kernel_device(const GpuModel& gpu);

/// What is computed beside the model: the same on any back end there is, as it comes, and with the multiprocessors of
/// the modelled GPU for waves. Of counts no layer: whose rows they are is not known.
ExperimentConfig computed_beside(const ExperimentConfig& config, const GpuModel& gpu);

}  // namespace tatr
