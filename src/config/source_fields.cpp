#include "config/source_fields.hpp"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

namespace tatr {

namespace {

using Words = std::initializer_list<const char*>;

/// Describes each field of a kind.
template <class Json, class Source>
class SchemaFields {
 public:
  explicit SchemaFields(const Source& defaults) : defaults_(defaults) {}

  void add(const char* key, double Source::*member, const Bounds& bounds, const char* help) {
    add_number(key, "number", defaults_.*member, bounds, help);
  }
  void add(const char* key, std::int64_t Source::*member, const Bounds& bounds, const char* help) {
    add_number(key, "integer", defaults_.*member, bounds, help);
  }
  void add(const char* key, std::string Source::*, const Lengths& lengths, const char* help) {
    properties[key] = text(lengths);
    properties[key]["description"] = help;
    if (!lengths.optional) required.push_back(key);
  }
  void add(const char* key, TensorNames Source::*, const Lengths& lengths, const char* help) {
    Json& field = properties[key];
    field = {{"type", "object"}, {"additionalProperties", false}, {"required", {"ids"}}, {"description", help}};
    for (const char* part : {"ids", "scores"}) field["properties"][part] = text(lengths);
  }
  template <class Enum>
  void add(const char* key, std::vector<Enum> Source::*, Words words, const char* help) {
    properties[key] = {{"type", "array"}, {"minItems", 1}, {"maxItems", words.size()}, {"uniqueItems", true}};
    properties[key]["items"] = {{"type", "string"}, {"enum", words}};
    properties[key]["description"] = help;
  }
  void add(const char* key, std::vector<std::string> Source::*member, const Lengths& lengths, const char* help) {
    Json& field = properties[key];
    field["description"] = help;
    field["default"] = (defaults_.*member).front();
    field["oneOf"] =
        Json::array({text(lengths), {{"type", "array"}, {"minItems", 1}, {"maxItems", lengths.most_items}}});
    field["oneOf"][1]["items"] = text(lengths);
  }
  /// A word for each value, in order; an empty one where the value cannot be said.
  template <class Enum>
  requires std::is_enum_v<Enum>
  void add(const char* key, Enum Source::*member, Words words, const char* help,
           ByDefault by_default = ByDefault::kSpelled) {
    Json& field = properties[key];
    field["type"] = "string";
    field["enum"] = Json::array();
    for (const std::string word : words) {
      if (!word.empty()) field["enum"].push_back(word);
    }
    const std::string word = words.begin()[static_cast<std::size_t>(defaults_.*member)];
    if (!word.empty() && by_default == ByDefault::kSpelled) field["default"] = word;
    field["description"] = help;
  }

  Json properties = Json::object();
  Json required = Json::array();

 private:
  template <class Number>
  void add_number(const char* key, const char* type, Number by_default, const Bounds& bounds, const char* help) {
    Json& field = properties[key];
    field["type"] = type;
    field[bounds.above_least ? "exclusiveMinimum" : "minimum"] = bounds.least;
    field["maximum"] = bounds.most;
    if (bounds.multiple_of != 1) field["multipleOf"] = bounds.multiple_of;
    if (!bounds.without_default) field["default"] = by_default;
    field["description"] = help;
  }

  static Json text(const Lengths& lengths) {
    return {{"type", "string"}, {"minLength", 1}, {"maxLength", lengths.most_characters}};
  }

  const Source& defaults_;
};

template <class Json, class Source>
Json branch_of(const Source& defaults) {
  SchemaFields<Json, Source> fields(defaults);
  fields.properties["kind"] = true;
  if (Source::kSynthetic) fields.properties["deviation"]["$ref"] = "#/definitions/deviation";
  Source::list(fields);
  Json branch;
  branch["if"]["properties"]["kind"]["const"] = Source::kName;
  Json& then = branch["then"];
  then["title"] = "source " + std::string(Source::kName);
  then["type"] = "object";
  then["additionalProperties"] = false;
  if (!fields.required.empty()) then["required"] = fields.required;
  then["properties"] = fields.properties;
  return branch;
}

/// Reads each field of a kind.
template <class Source>
class FieldReader {
 public:
  FieldReader(Source& source, const nlohmann::json& from) : source_(source), from_(from) {}

  template <class Value, class Allowed>
  void add(const char* key, Value Source::*member, const Allowed&, const char*) {
    if (from_.contains(key)) source_.*member = from_[key].template get<Value>();
  }
  void add(const char* key, TensorNames Source::*member, const Lengths&, const char*) {
    if (!from_.contains(key)) return;
    (source_.*member).ids = from_[key]["ids"];
    (source_.*member).scores = from_[key].value("scores", "");
  }
  template <class Enum>
  requires std::is_enum_v<Enum>
  void add(const char* key, Enum Source::*member, Words words, const char*, ByDefault = ByDefault::kSpelled) {
    if (from_.contains(key)) source_.*member = value_of<Enum>(from_[key], words);
  }
  template <class Enum>
  void add(const char* key, std::vector<Enum> Source::*member, Words words, const char*) {
    if (!from_.contains(key)) return;
    for (const nlohmann::json& word : from_[key]) (source_.*member).push_back(value_of<Enum>(word, words));
  }

 private:
  template <class Enum>
  static Enum value_of(const nlohmann::json& word, Words words) {
    const auto& text = word.get_ref<const std::string&>();
    return static_cast<Enum>(std::find(words.begin(), words.end(), text) - words.begin());
  }

  Source& source_;
  const nlohmann::json& from_;
};

}  // namespace

template <class Json>
Json source_branches() {
  Json branches = Json::array();
  for (const SourceOptions& one : default_sources()) {
    branches.push_back(std::visit([](const auto& defaults) { return branch_of<Json>(defaults); }, one));
  }
  return branches;
}

template nlohmann::json source_branches();
template nlohmann::ordered_json source_branches();

SourceOptions read_source(SourceKind kind, const nlohmann::json& from) {
  SourceOptions options = default_sources()[static_cast<std::size_t>(kind)];
  std::visit(
      [&]<class Source>(Source& source) {
        FieldReader<Source> reader(source, from);
        Source::list(reader);
      },
      options);
  return options;
}

}  // namespace tatr
