// The schema of experiments: src/config/experiment.schema.json with what the catalogues of strategies and sources say.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tatr {

/// Parsed once.
const nlohmann::json& experiment_schema();

/// The same as text, in the order it was written.
std::string experiment_schema_text();

}  // namespace tatr
