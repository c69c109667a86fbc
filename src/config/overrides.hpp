// One value of a config replaced before it is validated: by the option --set, or by a sweep.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tatr {

/// Puts `value` where the JSON pointer says. Missing objects are made; "-" for an index appends to a list; a strategy
/// given by its name alone becomes an object. Throws ConfigError at `source`, which names where the change comes from.
void set_value(nlohmann::json& document, const std::string& pointer, nlohmann::json value, const std::string& source);

/// Applies "pointer=value" to the document. Throws ConfigError that names the override.
void apply_override(nlohmann::json& document, const std::string& override_text);

/// The pointer of an override: all before its first "=".
std::string override_pointer(const std::string& override_text);

}  // namespace tatr
