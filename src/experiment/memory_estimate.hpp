// What an experiment takes at its peak, told before it begins.
#pragma once

#include <cstddef>
#include <string>

#include "device/system.hpp"
#include "options/options.hpp"

namespace tatr {

/// Of the system's memory for routing, rounding and the layer, and of the host's for a layer of a trace as it is read
/// and for results as they become text.
struct MemoryEstimate {
  std::size_t routing_bytes = 0, layer_bytes = 0, host_bytes = 0;
  std::size_t on_system() const { return routing_bytes + layer_bytes; }
};

MemoryEstimate estimate_memory(const ExperimentConfig& config, const System& system);

/// Of a training pass, what it keeps of each row from forward to backward; else empty.
std::string kept_words(const ExperimentConfig& config, const DeviceInfo& device);

/// Throws OutOfMemoryError, with need and have, where the system or the host cannot give what the experiment takes.
void check_memory(const ExperimentConfig& config, const System& system);

/// About what the experiment's JSON result takes, rather more than less.
std::size_t estimate_result_bytes(const ExperimentConfig& config);

}  // namespace tatr
