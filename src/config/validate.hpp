// Is a document what its JSON Schema allows? A validator decides; the words of a refusal come from
// config/schema_walk.hpp. Serves experiments and results alike.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tatr {

/// Throws ConfigError at "file:/json/pointer" with the value and what is allowed. The schema is draft-07.
void validate_document(const nlohmann::json& schema, const nlohmann::json& document, const std::string& file);

/// "file:/json/pointer", or the file alone for the whole document.
std::string config_place(const std::string& file, const std::string& pointer);

}  // namespace tatr
