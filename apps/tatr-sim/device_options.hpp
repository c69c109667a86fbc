// The options that say where to compute, for every subcommand that computes.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "device/system.hpp"
#include "experiment/modelled_gpu.hpp"

namespace tatr {

struct DeviceOptions {
  std::string device = "auto";
  int threads = 0;  // 0: as many as the machine gives
};

/// Adds --device, --threads and --device-timeout; `options` must outlive the command.
void add_device_options(CLI::App& command, DeviceOptions& options);

/// What computes: the CPU where a GPU is modelled. Throws EnvironmentError where there is no such device.
std::unique_ptr<System> make_system(const DeviceOptions& options);

/// What is modelled: the GPU of model:NAME; with auto and no GPU at hand, that of each config. Throws ConfigError where
/// there is no such device file.
ModelChoice model_choice(const DeviceOptions& options);

}  // namespace tatr
