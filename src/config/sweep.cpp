#include "config/sweep.hpp"

#include "config/experiment_schema.hpp"
#include "config/overrides.hpp"
#include "core/error.hpp"
#include "json/json_text.hpp"
#include "json/validate.hpp"

namespace tatr {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxName = 200;  // as in the schema

void check_sweep(const json& sweep, const std::string& file) {
  const json schema = {{"type", "object"}, {"properties", {{"sweep", experiment_schema()["properties"]["sweep"]}}}};
  validate_document(schema, {{"sweep", sweep}}, file);
}

/// Every combination of the listed values, as patches.
json combine(const json& lists, const std::string& file) {
  json patches = json::array({json::object()});
  for (const auto& [pointer, values] : lists.items()) {
    if (patches.size() * values.size() > kMaxSweep) {
      throw ConfigError({file, "/sweep"},
                        "makes more than " + std::to_string(kMaxSweep) + " experiments; allowed: at most so many");
    }
    json longer = json::array();
    for (const json& patch : patches) {
      for (const json& value : values) longer.emplace_back(patch)[pointer] = value;
    }
    patches = std::move(longer);
  }
  return patches;
}

std::string describe(const json& patch) {
  std::string words;
  for (const auto& [pointer, value] : patch.items()) {
    words += (words.empty() ? "" : ", ") + pointer.substr(pointer.find('/') == 0 ? 1 : 0) + "=" +
             (value.is_string() ? value.get<std::string>() : brief_json(value));
  }
  return words;
}

void refuse_overridden(const json& patch, const std::string& place, const std::vector<std::string>& overrides) {
  for (const std::string& one : overrides) {
    if (!patch.contains(override_pointer(one))) continue;
    throw ConfigError("--set " + brief_json(one), "is also set by " + place + "; only one of them can set it");
  }
}

}  // namespace

std::vector<SweepItem> expand_sweep(const json& document, const std::string& file,
                                    const std::vector<std::string>& overrides) {
  if (!document.is_object() || !document.contains("sweep")) return {{document, ""}};
  const std::string place = ErrorPlace(file, "/sweep").text();
  json base = document;
  base.erase("sweep");
  check_sweep(document["sweep"], file);
  const json patches = document["sweep"].is_object() ? combine(document["sweep"], file) : document["sweep"];
  std::vector<SweepItem> items;
  for (const json& patch : patches) {
    refuse_overridden(patch, place, overrides);
    SweepItem item{base, describe(patch)};
    for (const auto& [pointer, value] : patch.items()) set_value(item.document, pointer, value, place);
    if (patch.contains("/name") || patch.empty() || !base.contains("name") || !base["name"].is_string()) {
      items.push_back(std::move(item));
      continue;
    }
    const std::string name = base["name"];
    const std::string long_name = name + " (" + item.values + ")";
    item.document["name"] =
        long_name.size() <= kMaxName ? long_name : name + " (" + std::to_string(items.size() + 1) + ")";
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace tatr
