// Results as they are read back: the JSON of one run, or JSON Lines of many. Decides what is a result (the schema says
// so), not what follows from it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tatr {

/// One experiment of a result and the environment it ran in, both as result.schema.json describes them.
struct ResultExperiment {
  nlohmann::json environment, experiment;
};

/// All experiments of a file (report/results.hpp), in its order, strictly as the schema has them. Throws ConfigError
/// where it cannot be read or is no result, and EnvironmentError where it has another schema version than this
/// program's.
std::vector<ResultExperiment> read_results(const std::string& path);

}  // namespace tatr
