#include "config/override_hints.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "config/experiment_schema.hpp"
#include "core/error.hpp"
#include "core/format.hpp"
#include "json/json_text.hpp"
#include "options/options.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// "top_k", "Top-K" and "topk" are alike.
std::string plain(const std::string& name) {
  std::string letters;
  for (const char c : name) {
    if (c != '_' && c != '-') letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return letters;
}

bool is_digits(const std::string& text) {
  return !text.empty() && text.size() < 16 && text.find_first_not_of("0123456789") == std::string::npos;
}

/// Reads JSON whose words need no quotes, or have single ones. Fails on anything else.
class Unquoted {
 public:
  explicit Unquoted(const std::string& text) : text_(text) {}

  json read() {
    json value = item();
    skip();
    return failed_ || at_ < text_.size() ? json() : value;
  }

 private:
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string word() {
    skip();
    if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
      const std::size_t end = text_.find(text_[at_], at_ + 1);
      if (end == std::string::npos) return fail();
      const std::string inner = text_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
      quoted_ = true;
      return inner;
    }
    quoted_ = false;
    const std::size_t end = std::min(text_.find_first_of(",:{}[] '\"", at_), text_.size());
    if (end == at_) return fail();
    const std::string inner = text_.substr(at_, end - at_);
    at_ = end;
    return inner;
  }

  json item() {
    if (++depth_ > 16) fail();
    json value = failed_ ? json() : take('{') ? object() : take('[') ? list() : scalar();
    --depth_;
    return value;
  }
  json object() {
    json value = json::object();
    if (take('}')) return value;
    do {
      const std::string key = word();
      if (!take(':')) fail();
      value[key] = item();
    } while (!failed_ && take(','));
    if (!take('}') && at_ < text_.size()) fail();  // a bracket that is missing at the end is forgiven
    return value;
  }
  json list() {
    json value = json::array();
    if (take(']')) return value;
    do value.push_back(item());
    while (!failed_ && take(','));
    if (!take(']') && at_ < text_.size()) fail();
    return value;
  }
  json scalar() {
    const std::string text = word();
    if (quoted_) return text;
    if (text == "True") return true;
    if (text == "False") return false;
    if (text == "None") return nullptr;
    json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
    return value.is_discarded() ? json(text) : value;
  }
  std::string fail() {
    failed_ = true;
    return {};
  }

  const std::string& text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false, quoted_ = false;
};

/// "16k" is 16384, "16,384" and "16_384" too, "0x400" is 1024; empty where it is no such thing.
std::string plain_number(const std::string& text) {
  std::string digits = text;
  std::erase_if(digits, [](char c) { return c == ',' || c == '_' || c == '\'' || c == '"' || c == ' '; });
  if (is_digits(digits)) return digits;
  if (digits.starts_with("0x") && digits.size() < 12 &&
      digits.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string::npos && digits.size() > 2) {
    return std::to_string(std::strtoll(digits.c_str(), nullptr, 16));
  }
  const char unit = digits.empty() ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(digits.back())));
  const std::string before = digits.substr(0, digits.size() - (digits.empty() ? 0 : 1));
  if ((unit == 'k' || unit == 'm') && is_digits(before) && before.size() < 7) {
    return std::to_string(std::strtoll(before.c_str(), nullptr, 10) << (unit == 'k' ? 10 : 20));
  }
  const double number = std::strtod(digits.c_str(), nullptr);
  if (digits.find_first_not_of("0123456789.eE+") == std::string::npos && number >= 1 && number < 1e15 &&
      number == static_cast<double>(static_cast<std::int64_t>(number))) {
    return std::to_string(static_cast<std::int64_t>(number));
  }
  return {};
}

std::string plain_truth(const std::string& text) {
  const std::string word = plain(text);
  for (const char* yes : {"yes", "true", "on", "1", "y"}) {
    if (word == yes) return "true";
  }
  for (const char* no : {"no", "false", "off", "0", "n"}) {
    if (word == no) return "false";
  }
  return {};
}

/// What other programs, and the configs of models, call what a config here has.
constexpr std::array<std::pair<const char*, const char*>, 18> kOtherKeys = {{
    {"hiddensize", "/layer/hidden"},
    {"hiddendim", "/layer/hidden"},
    {"dmodel", "/layer/hidden"},
    {"intermediatesize", "/layer/intermediate"},
    {"moeintermediatesize", "/layer/intermediate"},
    {"ffndim", "/layer/intermediate"},
    {"ffnhiddensize", "/layer/intermediate"},
    {"numexperts", "/router/experts"},
    {"numlocalexperts", "/router/experts"},
    {"nroutedexperts", "/router/experts"},
    {"numexpertspertok", "/router/top_k"},
    {"numexpertspertoken", "/router/top_k"},
    {"moetopk", "/router/top_k"},
    {"numtokens", "/router/tokens"},
    {"batchsize", "/router/tokens"},
    {"tilesize", "/tile"},
    {"blocksize", "/tile"},
    {"blocksizem", "/tile"},
}};

/// "4096x1024" as hidden x intermediate of a layer; empty where it is no such thing.
std::string layer_of_sizes(const std::string& text) {
  const std::size_t cross = text.find_first_of("xX*,");
  if (cross == std::string::npos) return {};
  const std::string hidden = text.substr(0, cross), intermediate = text.substr(cross + 1);
  if (!is_digits(hidden) || !is_digits(intermediate)) return {};
  return fmt::format("{{\"hidden\":{},\"intermediate\":{}}}", hidden, intermediate);
}

template <class Rows>
bool names_one(const Rows& rows, const std::string& name) {
  return std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.name == name; });
}

/// "64,128" or "none,down"
json listed(const std::string& text) {
  json list = json::array();
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string one = text.substr(at, end - at);
    if (is_digits(one)) {
      list.push_back(std::strtoll(one.c_str(), nullptr, 10));
    } else if (names_one(kStrategies, one)) {
      list.push_back(one);
    } else {
      return {};
    }
    at = end + 1;
  }
  return list;
}

/// A value that would be allowed where `value` is not.
std::string likely_value(const std::string& pointer, const std::string& value, const std::string& problem) {
  const auto expects = [&](const char* words) { return problem.find(words) != std::string::npos; };
  if (value.starts_with('{') || value.starts_with('[')) {
    const json parsed = json::parse(value, nullptr, false);
    if (!parsed.is_discarded()) return {};
    const json meant = unquoted_json(value);
    return meant.is_null() ? "" : meant.dump();
  }
  if (pointer == "/layer") return layer_of_sizes(value);
  if (pointer == "/router/source" && names_one(kSources, value)) return json{{"kind", value}}.dump();
  if (pointer == "/strategies" || (pointer == "/tile" && value.find(',') != std::string::npos)) {
    json list = listed(value);
    if (list.is_null()) return {};
    if (pointer == "/strategies" && std::find(list.begin(), list.end(), "none") == list.end()) {
      list.insert(list.begin(), "none");
    }
    return list.dump();
  }
  if (expects("true or false")) return plain_truth(value);
  if (expects("expected an integer") || expects("expected a number")) {
    const std::string number = plain_number(value);
    return number == value ? "" : number;
  }
  return {};
}

}  // namespace

std::string pointer_of_key(const std::string& name) {
  static const json schema = experiment_schema();
  constexpr std::array kPlaces = {"", "/router", "/layer", "/measure", "/router/source", "/router/batches"};
  const auto find = [&](const std::string& key) -> std::string {
    for (const std::string place : kPlaces) {
      json object = schema;
      if (!place.empty()) {
        std::string path;
        for (const char c : place) path += c == '/' ? std::string("/properties/") : std::string{c};
        const json::json_pointer inner(path);
        if (!schema.contains(inner)) continue;
        object = schema[inner];
        if (object.contains("oneOf")) {
          const json choices = object["oneOf"];
          for (const json& one : choices) {
            if (one.contains("properties")) object = one;
          }
        }
      }
      const json properties = object.value("properties", json::object());
      for (const auto& [known, property] : properties.items()) {
        if (plain(known) == key) return fmt::format("{}/{}", place, known);
      }
    }
    return {};
  };
  const std::string key = plain(name);
  if (key.empty()) return {};
  for (const auto& [other, pointer] : kOtherKeys) {
    if (key == other) return pointer;
  }
  for (const std::string& one : {key, key + "s", key.substr(0, key.size() - 1) + "ies"}) {
    if (const std::string found = find(one); !found.empty()) return found;
  }
  return key.back() == 's' ? find(key.substr(0, key.size() - 1)) : "";
}

std::string likely_pointer(const std::string& pointer) {
  if (pointer.find_first_of("/.") == std::string::npos) return pointer_of_key(pointer);
  std::string likely = pointer;
  std::replace(likely.begin(), likely.end(), '.', '/');
  if (!likely.starts_with('/')) likely.insert(0, 1, '/');
  return likely.size() > 1 ? likely : "";
}

json unquoted_json(const std::string& text) {
  if (!text.starts_with('{') && !text.starts_with('[')) return nullptr;
  return Unquoted(text).read();
}

std::string set_option(const std::string& pointer, const std::string& value) {
  return "--set " + shell_word(pointer + "=" + value);
}

std::string override_hint(const std::string& override_text, const std::string& refused, const std::string& problem) {
  const std::size_t equals = override_text.find('=');
  if (equals == std::string::npos || override_text.find('\'') != std::string::npos) {
    if (override_text.find("='") != std::string::npos || equals == std::string::npos) return {};
  }
  const std::string pointer = override_text.substr(0, equals), value = override_text.substr(equals + 1);
  if (refused == pointer && problem.find("unknown key") != std::string::npos && pointer.starts_with('/')) {
    if (problem.find("did you mean") != std::string::npos) return {};
    const std::string other = pointer_of_key(pointer.substr(pointer.rfind('/') + 1));
    return other.empty() || other == pointer ? "" : "did you mean " + set_option(other, value) + "?";
  }
  if (refused != pointer) return {};
  if (value.empty()) return "no value; write one, such as --set /router/tokens=1024";
  if (pointer == "/router/top_k" && is_digits(value)) return "top_k is how many experts each token goes to";
  if (pointer == "/tile" && is_digits(value) && value.size() < 5) {
    const int tile = std::atoi(value.c_str()), below = tile / 8 * 8;
    if (tile % 8 == 0 || tile > 1024) return {};
    return below < 8 ? "nearest: 8" : "nearest: " + std::to_string(below) + " and " + std::to_string(below + 8);
  }
  const std::string likely = likely_value(pointer, value, problem);
  if (likely.empty()) return {};
  const bool brackets = value.starts_with('{') || value.starts_with('[');
  const std::string meant = set_option(pointer, likely);
  if (value.starts_with('"')) return "a number is written without quotes: " + meant;
  return (brackets ? "it is no JSON, the shell may have taken its quotes: " : "did you mean ") + meant +
         (brackets ? "" : "?");
}

}  // namespace tatr
