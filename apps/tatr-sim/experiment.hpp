// Runs one experiment on one system: logits, routing, every strategy at every tile, and the layer's timings. The
// pipeline of README's "How it works", in order; each stage is another module's.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "config/experiment.hpp"
#include "core/system.hpp"
#include "report/records.hpp"

namespace tatr {

struct RunOptions {
  Calibration calibration = default_calibration();
  std::string export_folder;  // empty: none
  std::function<void(const std::string&)> progress = [](const std::string&) {};
};

/// Takes the shape (tokens, experts, layers) of a trace into the config and checks it against what the config asks.
/// Reads only the file's header. ConfigError or InputError.
void resolve_trace(ExperimentConfig& config);

/// Names what an experiment on a trace reads of it, as its result does. Reads it. Throws InputError.
std::string trace_digest(const ExperimentConfig& config);

/// What the experiment allocates at its peak on the system's memory.
struct MemoryEstimate {
  std::size_t routing_bytes = 0, layer_bytes = 0;
  std::size_t total() const { return routing_bytes + layer_bytes; }
};
MemoryEstimate estimate_memory(const ExperimentConfig& config, const System& system);

/// About what the experiment's JSON result takes, rather more than less.
std::size_t estimate_result_bytes(const ExperimentConfig& config);

/// Throws what the stages throw; OutOfMemoryError is left to the caller, who goes on with the next experiment.
ExperimentRecord run_experiment(const ExperimentConfig& config, System& system, const RunOptions& options);

}  // namespace tatr
