// The options that say where to compute, for every subcommand that computes.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "device/system.hpp"

namespace tatr {

struct DeviceOptions {
  std::string device = "auto";
  int threads = 0;  // 0: all cores
};

/// Adds --device, --threads and --device-timeout; `options` must outlive the command.
void add_device_options(CLI::App& command, DeviceOptions& options);

/// Throws EnvironmentError where there is no such device.
std::unique_ptr<System> make_system(const DeviceOptions& options);

}  // namespace tatr
