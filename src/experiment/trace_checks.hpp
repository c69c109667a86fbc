// What configs and the files that they name have to say to each other before any work.
#pragma once

#include <string>
#include <vector>

#include "options/options.hpp"

namespace tatr {

/// Takes the shape (tokens, experts, top_k, layers) of recorded files into the config and checks it against what the
/// config asks. Of traces only headers are read. ConfigError or InputError.
void resolve_source(ExperimentConfig& config);

/// Names what an experiment on files reads of them, as its result does. The config has such a source; reads all of it.
/// Throws InputError.
std::string trace_digest(const ExperimentConfig& config);

/// Looks at the first values of all files, each once, so that what is no record of a router is refused before the first
/// experiment works. InputError.
void check_sources(const std::vector<ExperimentConfig>& configs);

}  // namespace tatr
