// What configs and the traces that they name have to say to each other before any work.
#pragma once

#include <string>
#include <vector>

#include "options/options.hpp"

namespace tatr {

/// Takes the shape (tokens, experts, layers) of a trace into the config and checks it against what the config asks.
/// Reads only the file's header. ConfigError or InputError.
void resolve_trace(ExperimentConfig& config);

/// Names what an experiment on a trace reads of it, as its result does. The config has a trace; reads all of it.
/// Throws InputError.
std::string trace_digest(const ExperimentConfig& config);

/// Looks at the first values of all traces, each once, so that what is no trace is refused before the first experiment
/// works. InputError.
void check_traces(const std::vector<ExperimentConfig>& configs);

}  // namespace tatr
