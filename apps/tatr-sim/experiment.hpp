// Runs one experiment on one system: logits, routing, every strategy at every tile, and the layer's timings. The
// pipeline of README's "How it works", in order; each stage is another module's.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "device/system.hpp"
#include "options/options.hpp"
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

/// Looks at the first values of all traces, each once, so that what is no trace is refused before the first experiment
/// works. InputError.
void check_traces(const std::vector<ExperimentConfig>& configs);

/// What the experiment takes at its peak: of the system's memory for routing, rounding and the layer, and of the host's
/// for a layer of a trace as it is read and for results as they become text.
struct MemoryEstimate {
  std::size_t routing_bytes = 0, layer_bytes = 0, host_bytes = 0;
  std::size_t on_system() const { return routing_bytes + layer_bytes; }
};
MemoryEstimate estimate_memory(const ExperimentConfig& config, const System& system);

/// Throws OutOfMemoryError, with need and have, where the system or the host cannot give what the experiment takes.
void check_memory(const ExperimentConfig& config, const System& system);

/// About what the experiment's JSON result takes, rather more than less.
std::size_t estimate_result_bytes(const ExperimentConfig& config);

/// Whether an error says something of one experiment only (its config, its memory, its outputs), so that others can
/// still run.
bool leaves_others_alone(const Error& error);

/// One line of an error that run_experiment threw: it names the experiment.
std::string describe_failure(const ExperimentConfig& config, const Error& error);

/// Throws what the stages throw, as an Error whatever it was, and first of all what check_memory throws. The caller
/// goes on with the next experiment where leaves_others_alone says so.
ExperimentRecord run_experiment(const ExperimentConfig& config, System& system, const RunOptions& options);

}  // namespace tatr
