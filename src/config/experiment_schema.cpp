#include "config/experiment_schema.hpp"

#include "config/source_fields.hpp"
#include "json/embedded.hpp"
#include "options/options.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// Names of the rows that `wanted` takes.
template <class Rows, class Wanted>
json names_of(const Rows& rows, Wanted wanted) {
  json names = json::array();
  for (const auto& row : rows) {
    if (wanted(row)) names.push_back(row.name);
  }
  return names;
}

/// Puts what the catalogues say in place of the words that stand for it.
template <class Json>
void fill_names(Json& schema) {
  const auto any = [](const auto&) { return true; };
  static const json lists = {
      {"$sources", names_of(kSources, any)},
      {"$strategies", names_of(kStrategies, any)},
      {"$plain_strategies", names_of(kStrategies, [](const StrategyRow& row) { return !row.has_options; })},
      {"$rules", names_of(kStrategies, [](const StrategyRow& row) {
         return row.kind != StrategyKind::kCapacity && row.kind != StrategyKind::kDynamic;
       })}};
  if (!schema.is_structured()) return;
  if (schema.is_object() && schema.contains("enum") && schema["enum"].size() == 1 && schema["enum"][0].is_string()) {
    const auto list = lists.find(schema["enum"][0].template get_ref<const std::string&>());
    if (list != lists.end()) schema["enum"] = *list;
  }
  if (schema.is_object() && schema.contains("allOf") && schema["allOf"] == "$source_branches") {
    schema["allOf"] = source_branches<Json>();
  }
  for (Json& item : schema) fill_names(item);
}

template <class Json>
Json filled_schema() {
  Json schema = Json::parse(kExperimentSchema);
  fill_names(schema);
  return schema;
}

}  // namespace

const json& experiment_schema() {
  static const json schema = filled_schema<json>();
  return schema;
}

std::string experiment_schema_text() { return filled_schema<nlohmann::ordered_json>().dump(2) + "\n"; }

}  // namespace tatr
