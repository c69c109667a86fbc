#include "report/html_page.hpp"

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "quality/calibration.hpp"
#include "records/metric_catalogue.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// JSON without <, > and &: inside <script> it can neither end the element nor open a comment. Such characters stand in
/// strings only, where an escape means the same.
std::string inert_json(const json& value) {
  std::string inert;
  for (const char c : value.dump(-1, ' ', false, json::error_handler_t::replace)) {
    switch (c) {
      case '<':
        inert += "\\u003c";
        break;
      case '>':
        inert += "\\u003e";
        break;
      case '&':
        inert += "\\u0026";
        break;
      default:
        inert += c;
    }
  }
  return inert;
}

/// Name of the count that a metric is there for only where it is positive; null: it always is.
json name_of(CountMember of) {
  for (const RoundingMetric& metric : kRoundingMetrics) {
    if (of != nullptr && metric.count == of) return metric.name;
  }
  return nullptr;
}

/// The catalogue, for the script: what a metric is called, and how its value is shown.
json metrics_json() {
  json metrics = json::array();
  for (const RoundingMetric& metric : kRoundingMetrics) {
    metrics.push_back({{"name", metric.name},
                       {"heading", metric.heading},
                       {"share", metric.is_share()},
                       {"of", name_of(metric.of)},
                       {"help", std::string(metric.help) + " [" + std::string(metric.unit) + "]"}});
  }
  return metrics;
}

}  // namespace

void PageResults::add(const ResultDocument& result) {
  check_tolerantly(result);
  text_ += (text_.empty() ? "" : ",") + inert_json({{"source", result.source}, {"result", result.document}});
  experiments_ += result.document.at("experiments").size();
}

void write_page(const PageResults& results, const std::function<void(std::string_view)>& write) {
  std::string_view rest = kPageTemplate;  // only the template is searched for marks, never what replaces one
  const auto replace = [&](std::string_view mark, std::initializer_list<std::string_view> parts) {
    const std::size_t at = rest.find(mark);
    write(rest.substr(0, at));
    for (const std::string_view part : parts) write(part);
    rest.remove_prefix(at + mark.size());
  };
  replace("{{style}}", {kPageStyle});
  replace("{{results}}", {"[", results.text(), "]"});
  replace("{{script}}", {"const METRICS = ", inert_json(metrics_json()), ";\n",
                         "const REACH = ", inert_json(reach_words(Calibration{}, /*ranking=*/false)), ";\n",
                         "const STRATEGY_STYLES = ", kPageColours, ";\n", kPageScript});
  write(rest);
}

}  // namespace tatr
