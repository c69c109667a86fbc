// From a JSON config to an ExperimentConfig: schema, defaults, overrides and the rules between keys that a schema
// cannot express. Traces are not opened here.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "options/options.hpp"

namespace tatr {

/// Reads a config file and applies overrides "/json/pointer=value" in their order, then its sweep: one experiment
/// without one, else all that it makes. A value of an override that is no JSON is a string. `check` sees each of them
/// and may complete it. Throws ConfigError, that of `check` included, with the override or the sweep it came from.
std::vector<ExperimentConfig> read_experiments(
    const std::string& path, const std::vector<std::string>& overrides,
    const std::function<void(ExperimentConfig&)>& check = [](ExperimentConfig&) {});

/// One experiment, without a sweep, from a parsed document; `file` names it in errors and is what trace files are
/// relative to.
ExperimentConfig parse_experiment(const nlohmann::json& document, const std::string& file);

/// Throws the error with the override that it came from, or the key that was likely meant; returns where there is
/// neither.
void rethrow_with_origin(const ConfigError& error, const std::string& path, const std::vector<std::string>& overrides);

/// The rules between the router's keys and the number of experts. parse_experiment applies them where the config says
/// `experts`; for a trace, call it again with what the file holds. Throws ConfigError.
void check_router(const RouterConfig& router, const std::string& file);

}  // namespace tatr
