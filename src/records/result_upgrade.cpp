#include "records/result_upgrade.hpp"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "records/metric_catalogue.hpp"
#include "records/result_writer.hpp"

namespace tatr {

namespace {

using nlohmann::json;

constexpr std::string_view kFirstVersion = "1.0", kBeforeModels = "2.0", kBeforeBatches = "2.1",
                           kBeforeTraining = "2.2";

void add_missing_metrics(json& record) {
  for (const RoundingMetric& metric : kRoundingMetrics) record.emplace(std::string(metric.name), nullptr);
}

/// In 1.0 a stage that did not run had times of 0.
void drop_if_zero(json& timing, std::string_view metric) {
  const auto series = timing.find(std::string(metric));
  if (series == timing.end() || !series->is_object()) return;
  const auto samples = series->find("samples");
  if (samples == series->end() || !samples->is_array()) return;
  if (std::all_of(samples->begin(), samples->end(), [](const json& sample) { return sample == 0; })) *series = nullptr;
}

/// Nor had one that was fused into another any of its own, but what an event takes.
void drop_if_fused(json& timing, const char* what, Stage stage) {
  const json::json_pointer place(std::string("/fused/") + what);
  if (timing.contains(place) && timing[place] == true) timing[std::string(info_of(stage).metric)] = nullptr;
}

void upgrade_timing(json& timing) {
  if (!timing.is_object()) return;
  for (const TimeMetric& metric : kTimeMetrics) drop_if_zero(timing, metric.name);
  drop_if_fused(timing, "gather", Stage::kGather);
  drop_if_fused(timing, "swiglu", Stage::kActivation);
  if (timing.contains("end_to_end_counts")) return;
  json counts = json::array();
  const bool measured = timing.contains("end_to_end_speedup") && timing["end_to_end_speedup"].is_object();
  if (measured && timing.contains("route_us") && !timing["route_us"].is_null()) counts.push_back("routing");
  if (measured) counts.insert(counts.end(), {"rounding", "layer"});
  timing["end_to_end_counts"] = counts;
}

/// Before 2.1 nothing but floors was modelled.
void set_measured(json& strategy) {
  if (strategy.contains("timing") && strategy["timing"].is_object()) strategy["timing"].emplace("kind", "measured");
}

/// What results before 2.2 had no word for.
void add_what_is_known(json& record) {
  record.emplace("unknown", nullptr);
  record.emplace("batches", nullptr);
}

/// A value of each GEMM under these keys: null of those that the result does not name.
void add_gemms(json& timing, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (!timing.contains(key) || !timing[key].is_object()) continue;
    for (const StageInfo& stage : kStages) {
      if (!stage.gemm.empty()) timing[key].emplace(std::string(stage.gemm), nullptr);
    }
  }
}

/// Before 2.3 all passes went forward.
void set_forward(json& timing) {
  if (!timing.is_object()) return;
  timing.emplace("pass", "forward");
  timing.emplace("kept_bytes_per_row", nullptr);
  const auto add = [&](const auto& metrics) {
    for (const auto& metric : metrics) {
      if (metric.training) timing.emplace(std::string(metric.name), nullptr);
    }
  };
  add(kTimeMetrics);
  add(kRatioMetrics);
  add(kTimingValues);
  add_gemms(timing, {"floors"});
}

/// What 2.3 had no word for at first.
void add_late(json& timing) {
  if (!timing.is_object()) return;
  timing.emplace("granules", json::object());
  add_gemms(timing, {"kernels", "granules"});
}

void upgrade_passes(json& timing, std::string_view version) {
  if (version != kResultSchemaVersion) set_forward(timing);
  add_late(timing);
}

/// The list of objects under a key; nothing where there is none.
template <class Change>
void change_each(json& from, const char* key, Change change) {
  if (!from.is_object() || !from.contains(key) || !from[key].is_array()) return;
  for (json& item : from[key]) {
    if (item.is_object()) change(item);
  }
}

}  // namespace

bool reads_version(std::string_view version) {
  return version == kFirstVersion || version == kBeforeModels || version == kBeforeBatches ||
         version == kBeforeTraining || version == kResultSchemaVersion;
}

std::string_view major_version(std::string_view version) { return version.substr(0, version.find('.')); }

void upgrade_result(json& document) {
  if (!document.is_object() || !document.contains("schema_version") || !document["schema_version"].is_string()) return;
  const std::string version = document["schema_version"];
  if (!reads_version(version)) return;
  document["schema_version"] = kResultSchemaVersion;
  change_each(document, "experiments", [&](json& experiment) {
    if (version != kResultSchemaVersion) {
      experiment.emplace("model", nullptr);
      experiment.emplace("reading", nullptr);
      change_each(experiment, "routing", [](json& routing) { routing.emplace("masked", 0); });
    }
    change_each(experiment, "strategies", [&](json& strategy) {
      add_missing_metrics(strategy);
      if (version != kResultSchemaVersion) {
        set_measured(strategy);
        add_what_is_known(strategy);
      }
      if (!strategy.contains("timing")) return;
      if (version == kFirstVersion) upgrade_timing(strategy["timing"]);
      upgrade_passes(strategy["timing"], version);
      const auto batches = strategy.find("batches");
      if (batches != strategy.end() && batches->is_object() && batches->contains("worst_timing")) {
        upgrade_passes((*batches)["worst_timing"], version);
      }
    });
    change_each(experiment, "network", [&](json& network) {
      add_missing_metrics(network);
      if (version == kResultSchemaVersion) return;
      add_what_is_known(network);
      const bool timed = network.contains("layer_ms") && !network["layer_ms"].is_null();
      network.emplace("timing_kind", timed ? json("measured") : json(nullptr));
    });
  });
}

}  // namespace tatr
