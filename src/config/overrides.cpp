#include "config/overrides.hpp"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "config/override_hints.hpp"
#include "core/error.hpp"
#include "json/json_text.hpp"

namespace tatr {

namespace {

using nlohmann::json;

std::string shown(const std::string& text) { return "--set " + brief_json(text); }

std::vector<std::string> split(const std::string& pointer, const std::string& source, const json& value) {
  if (pointer.size() < 2 || pointer[0] != '/') {
    const std::string likely = likely_pointer(pointer), shown_value = value.is_null() ? "VALUE" : value.dump();
    throw ConfigError(source, brief_json(pointer) + " is no JSON pointer; " +
                                  (likely.empty() ? "expected one such as /router/top_k"
                                                  : "did you mean " + set_option(likely, shown_value) + "?"));
  }
  std::vector<std::string> keys;
  for (std::size_t at = 0; at < pointer.size(); ++at) {
    if (pointer[at] == '/') {
      keys.emplace_back();
    } else if (pointer[at] == '~') {
      const char code = at + 1 < pointer.size() ? pointer[++at] : ' ';
      if (code != '0' && code != '1') throw ConfigError(source, "\"~\" in a pointer is written ~0, \"/\" ~1");
      keys.back() += code == '0' ? '~' : '/';
    } else {
      keys.back() += pointer[at];
    }
  }
  if (keys.size() >= kMaxJsonDepth) throw ConfigError(source, "the pointer is nested too deep");
  return keys;
}

json& list_item(json& list, const std::string& key, const std::string& source) {
  if (key == "-") return list.emplace_back();
  const bool digits = !key.empty() && key.size() < 10 &&
                      std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || std::stoul(key) >= list.size()) {
    throw ConfigError(source, "there is no item " + brief_json(key) + " in a list of " + std::to_string(list.size()) +
                                  "; \"-\" appends one");
  }
  return list[std::stoul(key)];
}

json value_of(const std::string& text, const std::string& whole) {
  try {
    return parse_json_text(text, "value");
  } catch (const ConfigError&) {  // no JSON: a plain word
  }
  try {
    static_cast<void>(json(text).dump());
  } catch (const json::type_error&) {
    throw ConfigError(shown(whole), "is not valid UTF-8");
  }
  return text;
}

}  // namespace

std::string override_pointer(const std::string& override_text) {
  return override_text.substr(0, override_text.find('='));
}

void set_value(json& document, const std::string& pointer, json value, const std::string& source) {
  const std::vector<std::string> keys = split(pointer, source, value);
  json* at = &document;
  for (std::size_t level = 0; level < keys.size(); ++level) {
    const bool short_strategy = level == 2 && keys[0] == "strategies" && at->is_string();
    if (short_strategy) *at = json{{"name", *at}};  // "down" is short for {"name": "down"}
    if (at->is_null()) *at = json::object();
    if (!at->is_structured()) {
      throw ConfigError(source, brief_json(*at) + " has no key " + brief_json(keys[level]));
    }
    at = at->is_array() ? &list_item(*at, keys[level], source) : &(*at)[keys[level]];
  }
  *at = std::move(value);
}

void apply_override(json& document, const std::string& override_text) {
  const std::size_t equals = override_text.find('=');
  if (equals == std::string::npos) {
    const std::string likely = likely_pointer(override_text);
    throw ConfigError(
        shown(override_text),
        "has no value; expected " + (likely.empty() ? "/json/pointer=value, such as /router/top_k=4"
                                                    : set_option(likely, "VALUE") + ", with no blank around the ="));
  }
  set_value(document, override_text.substr(0, equals), value_of(override_text.substr(equals + 1), override_text),
            shown(override_text));
}

}  // namespace tatr
