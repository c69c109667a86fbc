#include "report/result_tables.hpp"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "report/format.hpp"
#include "report/metric_list.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// The objects of a result that a row draws on.
struct Row {
  const json &document, &experiment, &routing, &strategy;
};

struct Column {
  std::string name;
  const json& (*from)(const Row&);
  std::string pointer;
};

const std::vector<Column>& columns() {
  static const std::vector<Column> list = [] {
    const auto document = [](const Row& row) -> const json& { return row.document; };
    const auto experiment = [](const Row& row) -> const json& { return row.experiment; };
    const auto routing = [](const Row& row) -> const json& { return row.routing; };
    const auto strategy = [](const Row& row) -> const json& { return row.strategy; };
    std::vector<Column> all = {{"experiment", experiment, "/name"},
                               {"config_hash", experiment, "/config_hash"},
                               {"device", document, "/environment/device"},
                               {"git", document, "/tool/git"},
                               {"seed", experiment, "/config/seed"},
                               {"source", experiment, "/config/router/source/kind"},
                               {"tokens", routing, "/tokens"},
                               {"experts", routing, "/experts"},
                               {"top_k", routing, "/top_k"},
                               {"count_cv", routing, "/counts/cv"},
                               {"task_loss", routing, "/task_loss"},
                               {"rounding_weight", experiment, "/config/router/source/rounding_weight"},
                               {"layer", strategy, "/layer"},
                               {"strategy", strategy, "/name"},
                               {"label", strategy, "/label"},
                               {"tile", strategy, "/tile"}};
    for (const CountMetric& metric : kCountMetrics)
      all.push_back({metric.name, strategy, std::string("/") + metric.name});
    for (const MeanMetric& metric : kMeanMetrics)
      all.push_back({metric.name, strategy, std::string("/") + metric.name});
    for (const char* name : {"backend", "cpu_reduced", "granule_rows"}) {
      all.push_back({name, strategy, std::string("/timing/") + name});
    }
    all.push_back({"hidden", strategy, "/timing/shape/hidden"});
    all.push_back({"intermediate", strategy, "/timing/shape/intermediate"});
    for (const TimingMetric& metric : kTimingMetrics) {
      all.push_back({metric.name, strategy, std::string("/timing/") + metric.name + "/median"});
    }
    all.push_back({"n", strategy, "/timing/layer_ms/n"});
    for (const std::string name : {"speedup", "end_to_end_speedup"}) {
      all.push_back({name, strategy, "/timing/" + name + "/value"});
      all.push_back({name + "_low", strategy, "/timing/" + name + "/low"});
      all.push_back({name + "_high", strategy, "/timing/" + name + "/high"});
    }
    for (const char* name :
         {"useful_tflops", "hardware_tflops", "output_error", "uniform_ms", "sm_clock_mhz", "power_w"}) {
      all.push_back({name, strategy, std::string("/timing/") + name});
    }
    return all;
  }();
  return list;
}

/// The value at a pointer, null where any part of the way is absent.
const json& value_at(const json& from, const std::string& pointer) {
  static const json kNull;
  const json::json_pointer place(pointer);
  return from.contains(place) ? from[place] : kNull;
}

std::string csv_cell(const json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  std::string text = value;
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  for (std::size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, 1, '"');
  return '"' + text + '"';
}

std::string markdown_cell(std::string_view text) {
  std::string escaped;
  for (const char c : printable(text)) escaped += (c == '|' || c == '\\') ? std::string{'\\', c} : std::string{c};
  return escaped;
}

std::string number_cell(const json& value) { return value.is_number() ? format_value(value.get<double>()) : kAbsent; }

std::string share_cell(const json& value) { return value.is_number() ? format_percent(value.get<double>()) : kAbsent; }

/// Of one layer: with its interval. Of several: the ratio of the sums, which has none.
std::string speedup_cell(const json& experiment, const json& network) {
  if (network["layers"] == 1) {
    for (const json& strategy : experiment["strategies"]) {
      if (strategy["label"] != network["label"] || strategy["tile"] != network["tile"]) continue;
      const json& ratio = value_at(strategy, "/timing/speedup");
      if (!ratio.is_object() || !ratio["low"].is_number() || !ratio["high"].is_number()) return kAbsent;
      return format_ratio(ratio["value"], ratio["low"], ratio["high"]);
    }
  }
  const json& ratio = network["speedup_of_sums"];
  return ratio.is_number() ? fmt::format("{:.2f}×", ratio.get<double>()) : kAbsent;
}

}  // namespace

std::string csv_header() {
  std::string line;
  for (const Column& column : columns()) line += (line.empty() ? "" : ",") + column.name;
  return line + "\n";
}

std::string csv_rows(const json& result) {
  static const json kNull;
  std::string rows;
  for (const json& experiment : result["experiments"]) {
    for (const json& strategy : experiment["strategies"]) {
      const json* routing = &kNull;
      for (const json& one : experiment["routing"]) {
        if (one["layer"] == strategy["layer"]) routing = &one;
      }
      const Row row{result, experiment, *routing, strategy};
      std::string line;
      for (const Column& column : columns()) {
        line += (&column == &columns().front() ? "" : ",") + csv_cell(value_at(column.from(row), column.pointer));
      }
      rows += line + "\n";
    }
  }
  return rows;
}

std::string markdown_header() {
  return "| Experiment | Strategy | Tile | Tiles | Utilized | Dropped | Lost mass | GEMM ms | Layer ms | Speedup [95%] "
         "| "
         "Device |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n";
}

std::string markdown_rows(const json& result) {
  std::string rows;
  for (const json& experiment : result["experiments"]) {
    const std::string name = markdown_cell(experiment["name"].get<std::string>());
    for (const json& network : experiment["network"]) {
      const std::string device = markdown_cell(result["environment"]["device"].get<std::string>()) +
                                 (network["cpu_reduced"] == true ? ", reduced shape" : "");
      rows += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", name,
                          markdown_cell(network["label"].get<std::string>()),
                          network["tile"].is_null() ? "own" : network["tile"].dump(), format_count(network["tiles"]),
                          share_cell(network["tile_utilisation"]), share_cell(network["dropped_share"]),
                          number_cell(network["dropped_gate_mass"]), number_cell(network["gemm_ms"]),
                          number_cell(network["layer_ms"]), speedup_cell(experiment, network), device);
    }
  }
  return rows;
}

}  // namespace tatr
