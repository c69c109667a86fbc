#include "records/result_schema.hpp"

#include <nlohmann/json.hpp>

#include "json/embedded.hpp"
#include "records/metric_catalogue.hpp"

namespace tatr {

namespace {

using Json = nlohmann::ordered_json;

Json described(const char* type, std::string_view unit, std::string_view help) {
  return {
      {"type", {type, "null"}}, {"minimum", 0}, {"description", std::string(help) + " [" + std::string(unit) + "]"}};
}

void add(Json& definition, std::string_view name, Json property) {
  definition["required"].push_back(name);
  definition["properties"][std::string(name)] = std::move(property);
}

void add_rounding_metrics(Json& definition) {
  for (const RoundingMetric& metric : kRoundingMetrics) {
    Json property = described(metric.is_count() ? "integer" : "number", metric.unit, metric.help);
    if (metric.unit == "share") property["maximum"] = 1;
    add(definition, metric.name, std::move(property));
  }
}

Json make_schema() {
  Json schema = Json::parse(kResultSchema);
  Json& parts = schema["definitions"];
  add_rounding_metrics(parts["strategy"]);
  add_rounding_metrics(parts["network"]);
  Json& timing = parts["timing"];
  for (const TimeMetric& metric : kTimeMetrics) add(timing, metric.name, {{"$ref", "#/definitions/series"}});
  for (const RatioMetric& metric : kRatioMetrics) add(timing, metric.name, {{"$ref", "#/definitions/ratio"}});
  for (const TimingValue& metric : kTimingValues) {
    add(timing, metric.name, described("number", metric.unit, metric.help));
  }
  return schema;
}

}  // namespace

const nlohmann::json& result_schema() {
  static const nlohmann::json schema(make_schema());
  return schema;
}

std::string result_schema_text() { return make_schema().dump(2) + "\n"; }

}  // namespace tatr
