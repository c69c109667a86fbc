// The --set option: one value of a config replaced before it is validated.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tatr {

/// Applies "pointer=value" to the document. Throws ConfigError that names the override.
void apply_override(nlohmann::json& document, const std::string& override_text);

/// The pointer of an override: all before its first "=".
std::string override_pointer(const std::string& override_text);

}  // namespace tatr
