#include "json/schema_walk.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "json/json_text.hpp"

namespace tatr {

namespace {

using nlohmann::json;
using Problem = std::optional<SchemaProblem>;

bool has_type(const json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  return type == "null" && value.is_null();
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }));
}

std::string join(const std::vector<std::string>& parts, const std::string& separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

/// Keys of an object, without the one that editors use.
std::vector<std::string> names_of(const json& properties) {
  std::vector<std::string> names;
  for (const auto& [name, property] : properties.items()) {
    if (name != "$schema") names.push_back(name);
  }
  return names;
}

bool is_multiple(const json& value, const json& step) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>() % step.get<std::uint64_t>() == 0;
  if (value.is_number_integer()) return value.get<std::int64_t>() % step.get<std::int64_t>() == 0;
  return std::fmod(value.get<double>(), step.get<double>()) == 0;
}

/// a <= b. The JSON library compares a signed with an unsigned integer as signed ones, and 2^64 - 1 becomes -1.
bool at_most(const json& a, const json& b) {
  const bool negative_a = a.is_number_integer() && !a.is_number_unsigned() && a.get<std::int64_t>() < 0;
  const bool negative_b = b.is_number_integer() && !b.is_number_unsigned() && b.get<std::int64_t>() < 0;
  if (!a.is_number_integer() || !b.is_number_integer()) return a.get<double>() <= b.get<double>();
  if (negative_a != negative_b) return negative_a;
  if (negative_a) return a.get<std::int64_t>() <= b.get<std::int64_t>();
  return a.get<std::uint64_t>() <= b.get<std::uint64_t>();
}

/// Where a value stands in the document. Its pointer is spelt out only where something is wrong.
class Place {
 public:
  Place() = default;
  Place(const Place& parent, const std::string& key) : parent_(&parent), key_(&key) {}
  Place(const Place& parent, std::size_t index) : parent_(&parent), index_(index) {}

  std::string pointer() const {
    if (parent_ == nullptr) return {};
    if (key_ != nullptr) return child_pointer(parent_->pointer(), *key_);
    return parent_->pointer() + "/" + std::to_string(index_);
  }

 private:
  const Place* parent_ = nullptr;
  const std::string* key_ = nullptr;
  std::size_t index_ = 0;
};

/// The member, without a copy: absent where there is none.
const json* member_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

class Walker {
 public:
  explicit Walker(const json& root) : root_(root) {}

  Problem check(const json& reference, const json& value, const Place& place) const;
  void fill(const json& reference, json& value) const;
  std::string describe(const json& reference) const;

 private:
  const json& resolve(const json& schema) const;
  const json* find_default(const json& property) const;
  bool accepts_type(const json& schema, const json& value) const;
  bool matches(const json& schema, const json& value) const { return !check(schema, value, {}); }

  std::string describe_type(const json& schema, const std::string& type) const;
  void collect_words(const json& reference, std::vector<std::string>& words) const;
  SchemaProblem refuse(const json& schema, const json& value, const Place& place) const;

  Problem check_scalar(const json& schema, const json& value, const Place& place) const;
  Problem check_array(const json& schema, const json& value, const Place& place) const;
  Problem check_object(const json& schema, const json& value, const Place& place) const;
  Problem check_alternatives(const json& schema, const json& value, const Place& place) const;

  const json& root_;
  mutable std::unordered_map<const std::string*, const json*> resolved_;  // by the text of the reference
};

const json& Walker::resolve(const json& schema) const {
  const json* at = &schema;
  for (int hops = 0; hops < 32 && at->is_object(); ++hops) {
    const json* const reference = member_of(*at, "$ref");
    if (reference == nullptr) break;
    const auto& target = reference->get_ref<const std::string&>();
    if (target.rfind('#', 0) != 0) break;
    const json*& known = resolved_[&target];
    if (known == nullptr) known = &root_.at(json::json_pointer(target.substr(1)));
    at = known;
  }
  return *at;
}

bool Walker::accepts_type(const json& schema, const json& value) const {
  if (!schema.is_object() || !schema.contains("type")) return true;
  const json& type = schema["type"];
  if (type.is_string()) return has_type(value, type);
  return std::any_of(type.begin(), type.end(), [&](const json& one) { return has_type(value, one); });
}

std::string Walker::describe_type(const json& schema, const std::string& type) const {
  if (type == "null") return "null";
  if (type == "boolean") return "true or false";
  if (type == "object")
    return schema.contains("title") ? "an object (" + schema["title"].get<std::string>() + ")" : "an object";
  std::string text = type == "array"     ? "a list"
                     : type == "string"  ? "text"
                     : type == "integer" ? "an integer"
                                         : "a number";
  if (schema.contains("minimum") && schema.contains("maximum")) {
    text += " from " + schema["minimum"].dump() + " to " + schema["maximum"].dump();
  } else {
    if (schema.contains("minimum")) text += " of at least " + schema["minimum"].dump();
    if (schema.contains("exclusiveMinimum")) text += " above " + schema["exclusiveMinimum"].dump();
    if (schema.contains("maximum")) text += ", at most " + schema["maximum"].dump();
  }
  if (schema.contains("multipleOf")) text += ", a multiple of " + schema["multipleOf"].dump();
  if (schema.contains("maxLength")) {
    text += " of " + schema.value("minLength", json(0)).dump() + " to " + schema["maxLength"].dump() + " characters";
  }
  if (type == "array") {
    if (schema.contains("maxItems")) {
      text += " of " + schema.value("minItems", json(0)).dump() + " to " + schema["maxItems"].dump() + " items";
    } else if (schema.contains("minItems")) {
      text += " of at least " + schema["minItems"].dump() + " items";
    }
    if (schema.contains("items")) text += ", each " + describe(schema["items"]);
  }
  return text;
}

std::string Walker::describe(const json& reference) const {
  const json& schema = resolve(reference);
  if (!schema.is_object()) return "any value";
  if (schema.contains("const")) return schema["const"].dump();
  std::vector<std::string> parts;
  if (schema.contains("enum")) {
    for (const json& word : schema["enum"]) parts.push_back(word.dump());
    return (parts.size() > 1 ? "one of " : "") + join(parts, ", ");
  }
  for (const char* key : {"oneOf", "anyOf"}) {
    if (!schema.contains(key)) continue;
    for (const json& branch : schema[key]) parts.push_back(describe(branch));
    return join(parts, ", or ");
  }
  if (!schema.contains("type")) return "any value";
  if (schema["type"].is_string()) return describe_type(schema, schema["type"]);
  for (const json& type : schema["type"]) parts.push_back(describe_type(schema, type));
  return join(parts, " or ");
}

void Walker::collect_words(const json& reference, std::vector<std::string>& words) const {
  const json& schema = resolve(reference);
  if (!schema.is_object()) return;
  for (const json& word : schema.value("enum", json::array())) {
    if (word.is_string()) words.push_back(word);
  }
  for (const json& branch : schema.value("oneOf", json::array())) collect_words(branch, words);
}

SchemaProblem Walker::refuse(const json& schema, const json& value, const Place& place) const {
  std::string message = brief_json(value) + " is not allowed; expected " + describe(schema);
  if (value.is_string()) {
    std::vector<std::string> words;
    collect_words(schema, words);
    const std::string near = nearest_name(value, words);
    if (!near.empty()) message += "; did you mean \"" + near + "\"?";
  }
  return {place.pointer(), message};
}

Problem Walker::check_scalar(const json& schema, const json& value, const Place& place) const {
  bool good = accepts_type(schema, value);
  if (schema.contains("const")) good = good && value == schema["const"];
  if (schema.contains("enum")) good = good && std::count(schema["enum"].begin(), schema["enum"].end(), value) > 0;
  if (good && value.is_number()) {
    if (schema.contains("minimum")) good = good && at_most(schema["minimum"], value);
    if (schema.contains("maximum")) good = good && at_most(value, schema["maximum"]);
    if (schema.contains("exclusiveMinimum")) good = good && !at_most(value, schema["exclusiveMinimum"]);
    if (schema.contains("multipleOf")) good = good && is_multiple(value, schema["multipleOf"]);
  }
  if (good && value.is_string()) {
    const std::size_t length = characters(value.get_ref<const std::string&>());
    if (schema.contains("minLength")) good = good && length >= schema["minLength"].get<std::size_t>();
    if (schema.contains("maxLength")) good = good && length <= schema["maxLength"].get<std::size_t>();
  }
  if (good) return std::nullopt;
  return refuse(schema, value, place);
}

Problem Walker::check_array(const json& schema, const json& value, const Place& place) const {
  const bool few = schema.contains("minItems") && value.size() < schema["minItems"].get<std::size_t>();
  const bool many = schema.contains("maxItems") && value.size() > schema["maxItems"].get<std::size_t>();
  if (few || many) {
    return SchemaProblem{place.pointer(), "a list of " + std::to_string(value.size()) +
                                              " items is not allowed; expected " + describe(schema)};
  }
  if (!schema.contains("items")) return std::nullopt;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (Problem problem = check(schema["items"], value[i], Place(place, i))) return problem;
  }
  return std::nullopt;
}

Problem Walker::check_object(const json& schema, const json& value, const Place& place) const {
  static const json kNone = json::object(), kAny = true;
  const json* const listed = member_of(schema, "properties");
  const json* const others = member_of(schema, "additionalProperties");
  const json& properties = listed != nullptr ? *listed : kNone;
  const json& rest = others != nullptr ? *others : kAny;
  for (const auto& [key, member] : value.items()) {
    if (properties.contains(key) || rest != json(false)) continue;
    const std::vector<std::string> names = names_of(properties);
    const std::string near = nearest_name(key, names);
    return SchemaProblem{Place(place, key).pointer(),
                         "unknown key " + brief_json(key) + (near.empty() ? "" : ", did you mean \"" + near + "\"?") +
                             "; " + schema.value("title", "the object") + " may have only: " + join(names, ", ")};
  }
  const json* const required = member_of(schema, "required");
  for (const json& key : required != nullptr ? *required : kNone) {
    if (value.contains(key.get_ref<const std::string&>())) continue;
    const json property = properties.value(key.get<std::string>(), json(true));
    return SchemaProblem{place.pointer(), "required key " + key.dump() + " is missing; expected " + describe(property)};
  }
  const bool few = schema.contains("minProperties") && value.size() < schema["minProperties"].get<std::size_t>();
  const bool many = schema.contains("maxProperties") && value.size() > schema["maxProperties"].get<std::size_t>();
  if (few || many) {
    const std::string wanted = (few ? "at least " + schema["minProperties"].dump() : schema["maxProperties"].dump());
    return SchemaProblem{place.pointer(), brief_json(value) + " is not allowed; expected " + wanted +
                                              " of: " + join(names_of(properties), ", ")};
  }
  for (auto member = value.begin(); member != value.end(); ++member) {
    const auto property = properties.find(member.key());
    const json& own = property != properties.end() ? *property : rest;
    if (Problem problem = check(own, *member, Place(place, member.key()))) return problem;
  }
  return std::nullopt;
}

/// Where no alternative fits: the problem of the only one of the value's type, else all that would do.
Problem Walker::check_alternatives(const json& schema, const json& value, const Place& place) const {
  for (const char* key : {"oneOf", "anyOf"}) {
    if (!schema.contains(key)) continue;
    std::vector<Problem> likely;
    bool fits = false;
    for (const json& branch : schema[key]) {
      Problem problem = check(branch, value, place);
      fits = fits || !problem;
      if (problem && value.is_structured() && accepts_type(resolve(branch), value))
        likely.push_back(std::move(problem));
    }
    if (fits) continue;
    if (likely.size() == 1) return likely[0];
    return refuse(schema, value, place);
  }
  return std::nullopt;
}

Problem Walker::check(const json& reference, const json& value, const Place& place) const {
  const json& schema = resolve(reference);
  if (schema == json(false)) return SchemaProblem{place.pointer(), brief_json(value) + " is not allowed here"};
  if (!schema.is_object()) return std::nullopt;
  Problem problem = check_scalar(schema, value, place);
  if (!problem && value.is_array()) problem = check_array(schema, value, place);
  if (!problem && value.is_object()) problem = check_object(schema, value, place);
  if (!problem) problem = check_alternatives(schema, value, place);
  if (!problem && schema.contains("if")) {
    const char* next = matches(schema["if"], value) ? "then" : "else";
    if (schema.contains(next)) problem = check(schema[next], value, place);
  }
  if (!problem && schema.contains("allOf")) {
    for (const json& part : schema["allOf"]) {
      if ((problem = check(part, value, place))) break;
    }
  }
  return problem;
}

const json* Walker::find_default(const json& property) const {
  for (const json* node : {&property, &resolve(property)}) {
    if (node->is_object() && node->contains("default")) return &(*node)["default"];
  }
  return nullptr;
}

void Walker::fill(const json& reference, json& value) const {
  const json& schema = resolve(reference);
  if (!schema.is_object()) return;
  if (schema.value("type", json()) == "number" && value.is_number_integer()) value = value.get<double>();
  if (value.is_object() && schema.contains("properties")) {
    for (const auto& [key, property] : schema["properties"].items()) {
      const json* filler = find_default(property);
      if (filler != nullptr && !value.contains(key)) value[key] = *filler;
      if (value.contains(key)) fill(property, value[key]);
    }
  }
  if (value.is_array() && schema.contains("items")) {
    for (json& item : value) fill(schema["items"], item);
  }
  if (schema.contains("if")) {
    const char* next = matches(schema["if"], value) ? "then" : "else";
    if (schema.contains(next)) fill(schema[next], value);
  }
  if (schema.contains("allOf")) {
    for (const json& part : schema["allOf"]) fill(part, value);
  }
  if (schema.contains("oneOf")) {
    const auto fits = [&](const json& branch) { return matches(branch, value); };
    const auto branch = std::find_if(schema["oneOf"].begin(), schema["oneOf"].end(), fits);
    if (branch != schema["oneOf"].end()) fill(*branch, value);
  }
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Edit distance of two short words, in whatever case: characters added, left out, replaced, or two swapped.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1), above, above_that;
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    above_that = std::exchange(above, row);
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (lower(a[i]) == lower(b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
      const bool swapped = i > 0 && j > 0 && lower(a[i]) == lower(b[j - 1]) && lower(a[i - 1]) == lower(b[j]);
      if (swapped) row[j + 1] = std::min(row[j + 1], above_that[j - 1] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

Problem find_problem(const json& schema, const json& document) { return Walker(schema).check(schema, document, {}); }

void fill_defaults(const json& schema, json& document) { Walker(schema).fill(schema, document); }

std::string schema_in_words(const json& root, const json& part) { return Walker(root).describe(part); }

std::string child_pointer(const std::string& pointer, const std::string& key) {
  std::string printable = brief_json(key);  // escapes control characters, adds quotes
  printable.erase(0, 1);
  if (!printable.empty() && printable.back() == '"') printable.pop_back();
  std::string escaped = pointer + "/";
  for (const char c : printable) {
    if (c == '~') {
      escaped += "~0";
    } else if (c == '/') {
      escaped += "~1";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string nearest_name(const std::string& wrong, const std::vector<std::string>& names) {
  std::string best;
  std::size_t least = std::max<std::size_t>(2, wrong.size() / 3) + 1;
  if (wrong.size() > 40) return best;
  for (const std::string& name : names) {
    const std::size_t edits = distance(wrong, name);
    if (edits < least && edits < name.size()) {
      least = edits;
      best = name;
    }
  }
  return best;
}

}  // namespace tatr
