// What was likely meant by an override that cannot be used: the override to write instead. Decides no validity.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tatr {

/// Where a config has a key of this name, whatever its underscores and dashes: "top-k" is at "/router/top_k". Empty
/// where none of its objects has it.
std::string pointer_of_key(const std::string& name);

/// Of a pointer that is none: "router.tokens" is likely "/router/tokens". Empty where nothing is likely.
std::string likely_pointer(const std::string& pointer);

/// A value that a shell has taken the quotes of, or that is written as Python has it: "{kind:gaussian}". Null where it
/// is nothing of the kind.
nlohmann::json unquoted_json(const std::string& text);

/// "--set '/router/source={"kind":"gaussian"}'", quoted for a shell where that is needed.
std::string set_option(const std::string& pointer, const std::string& value);

/// What to write in place of "pointer=value", whose value the config refuses at `refused`; empty where nothing is
/// likely.
std::string override_hint(const std::string& override_text, const std::string& refused, const std::string& problem);

}  // namespace tatr
