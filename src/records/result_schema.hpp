// The schema of results: what is written by hand in result.schema.json, with a property for every metric of the
// catalogue.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace tatr {

/// Parsed once.
const nlohmann::json& result_schema();

/// The same as text.
std::string result_schema_text();

}  // namespace tatr
