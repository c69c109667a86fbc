// What a file of data can be read as, where no config says it: counts of tokens per expert, or a trace. Decides between
// them only where one reading is possible.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "options/options.hpp"

namespace tatr {

/// Whether a path names data to be read, not a config: a folder, a pattern, or a file that is no JSON object with keys
/// of a config.
bool is_data(const std::string& path);

/// Throws UsageError where a command that takes configs is given data.
void refuse_data(const std::string& path);

struct DataReading {
  nlohmann::ordered_json router;  // as a config says it; the file's path is as given
  ExperimentConfig config;        // plain top-k at tiles of 64, 128 and 256 rows
};

/// Reads the data as what it can be; `overrides` are of a config: /router/top_k=8. Throws InputError or ConfigError
/// where it is nothing that can be read, or may be two things, naming the override that says which.
DataReading read_data(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace tatr
