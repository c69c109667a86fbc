// Predictions of every measured case of docs/results/model, by the shipped device files, and their errors against
// limits.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/statistics.hpp"
#include "model/layer_model.hpp"

using namespace tatr;
using nlohmann::json;

namespace {

json read_data(const std::string& gpu) {
  std::ifstream file(std::string(TATR_SOURCE_DIR) + "/docs/results/model/" + gpu + ".json");
  return json::parse(file);
}

StrategyConfig strategy_of(const json& from) {
  StrategyConfig strategy;
  strategy.name = from["name"];
  strategy.kind = std::find_if(kStrategies.begin(), kStrategies.end(), [&](const StrategyRow& row) {
                    return row.name == strategy.name;
                  })->kind;
  if (strategy.kind == StrategyKind::kCapacity) strategy.options = CapacityOptions{1.25, StrategyKind::kNearest};
  if (strategy.kind == StrategyKind::kDynamic) strategy.options = DynamicOptions{StrategyKind::kNearest, {}};
  return strategy;
}

ModelledForward forward_of(const GpuModel& gpu, const json& experiment, const json& strategy) {
  LayerShape shape{experiment["tokens"], experiment["experts"], experiment["hidden"], experiment["intermediate"], 0};
  const auto rows = strategy["rows"].get<std::vector<std::int32_t>>();
  for (const std::int32_t count : rows) shape.most_rows += count;
  LayerOptions options;
  options.tile_rows = strategy["tile"];
  if (strategy.contains("tile_of_expert"))
    options.tile_of_expert = strategy["tile_of_expert"].get<std::vector<std::int32_t>>();
  return model_forward(gpu, shape, options, rows);
}

/// Shares by which modelled figures are off, of the cases that nothing was fitted on.
using Errors = std::map<std::string, std::vector<double>>;

void add_case(Errors& errors, const GpuModel& gpu, const json& experiment, const json& strategy, double none_ms) {
  const ModelledForward times = forward_of(gpu, experiment, strategy);
  const auto add = [&](const std::string& name, double modelled, const json& measured) {
    errors[name].push_back(std::abs(modelled / measured.get<double>() - 1));
  };
  add("up", *times.stage_ms[index_of(Stage::kUp)], strategy["up_ms"]);
  add("down", *times.stage_ms[index_of(Stage::kDown)], strategy["down_ms"]);
  add("combine", *times.stage_ms[index_of(Stage::kCombine)], strategy["combine_ms"]);
  add("layer", times.layer_ms, strategy["layer_ms"]);
  add("uniform", times.uniform_ms, strategy["uniform_ms"]);
  add("speedup", none_ms / times.layer_ms, strategy["speedup"]);
  const auto counts = experiment["counts"].get<std::vector<std::int32_t>>();
  add("rounding", model_rounding_us(gpu, strategy_of(strategy), counts), strategy["round_us"]);
}

RouterConfig router_of(const json& experiment) {
  RouterConfig router;
  router.tokens = experiment["tokens"];
  router.experts = experiment["experts"];
  router.top_k = experiment["top_k"];
  if (experiment["groups"].get<bool>()) router.groups = ExpertGroups{};
  return router;
}

Errors errors_of(const GpuModel& gpu, const json& data, const std::string& half = "held") {
  Errors errors;
  for (const json& experiment : data["experiments"]) {
    if (experiment["name"].get<std::string>().rfind(half, 0) != 0) continue;
    const double none_ms = forward_of(gpu, experiment, experiment["strategies"][0]).layer_ms;
    for (const json& strategy : experiment["strategies"]) add_case(errors, gpu, experiment, strategy, none_ms);
    if (experiment["route_us"].is_null()) continue;
    const double routing = model_routing_us(gpu, router_of(experiment));
    errors["routing"].push_back(std::abs(routing / experiment["route_us"].get<double>() - 1));
  }
  return errors;
}

struct Limits {
  double median, p90;
};

void check(const Errors& errors, const std::string& name, const Limits& limits) {
  INFO(name << ": median " << quantile(errors.at(name), 0.5) << ", 90th percentile " << quantile(errors.at(name), 0.9));
  CHECK(quantile(errors.at(name), 0.5) <= limits.median);
  CHECK(quantile(errors.at(name), 0.9) <= limits.p90);
}

constexpr std::array kStageNames = {"up", "down", "combine", "layer"};

GpuModel scaled_h200() {
  GpuModel gpu = read_gpu_model("h200");
  gpu.figures = scale_figures(read_gpu_model("h100"), gpu.peaks, gpu.device.multiprocessors);
  return gpu;
}

/// The errors that a device file states are the worst of the stages', rounded up to a thousandth.
void check_stated(const ModelError& stated, const Errors& errors) {
  double median = 0, p90 = 0;
  for (const char* name : kStageNames) {
    median = std::max(median, quantile(errors.at(name), 0.5));
    p90 = std::max(p90, quantile(errors.at(name), 0.9));
  }
  constexpr double kRounding = 0.0011;
  CHECK((stated.median >= median && stated.median < median + kRounding));
  CHECK((stated.p90 >= p90 && stated.p90 < p90 + kRounding));
  const double ratio = quantile(errors.at("speedup"), 0.9);
  CHECK((stated.ratio >= ratio && stated.ratio < ratio + kRounding));
  CHECK(stated.cases == static_cast<std::int64_t>(errors.at("layer").size()));
  INFO("worst: median " << median << ", 90th percentile " << p90 << ", ratio " << ratio);
  CHECK(stated.cases > 0);
}

}  // namespace

TEST_CASE("the model of an H100 meets its limits on cases that it was not fitted on") {
  const GpuModel gpu = read_gpu_model("h100");
  const Errors errors = errors_of(gpu, read_data("h100"));
  REQUIRE(errors.at("layer").size() == 44);
  for (const char* name : kStageNames) check(errors, name, {0.03, 0.07});
  check_stated(gpu.error, errors);
}

TEST_CASE("the model of an H200 with figures that --measure found there meets its limits") {
  const GpuModel gpu = read_gpu_model("h200");
  const Errors errors = errors_of(gpu, read_data("h200"));
  for (const char* name : kStageNames) check(errors, name, {0.04, 0.08});
  check_stated(gpu.error, errors);
}

TEST_CASE("an H200 is predicted from an H100's figures by datasheets") {
  const Errors errors = errors_of(scaled_h200(), read_data("h200"));
  for (const char* name : kStageNames) check(errors, name, {0.05, 0.10});
  for (const char* id : {"h100_pcie", "h100_nvl", "a100", "b200"}) check_stated(read_gpu_model(id).error, errors);
}

TEST_CASE("the model ranks the strategies of the real trace as measured, and knows what they gain") {
  for (const char* id : {"h100", "h200"}) {
    const GpuModel gpu = read_gpu_model(id);
    for (const json& experiment : read_data(id)["experiments"]) {
      if (experiment["name"].get<std::string>().find("trace") == std::string::npos) continue;
      const double none_ms = forward_of(gpu, experiment, experiment["strategies"][0]).layer_ms;
      const auto gain = [&](const json& strategy) { return none_ms / forward_of(gpu, experiment, strategy).layer_ms; };
      for (const json& one : experiment["strategies"]) {
        INFO(id << ", " << experiment["name"] << ", " << one["label"]);
        CHECK(std::abs(gain(one) - one["speedup"].get<double>()) <= 0.02);
        for (const json& other : experiment["strategies"]) {
          const double apart = gain(one) / gain(other);
          if (apart < 1 + 2 * gpu.error.ratio) continue;  // their intervals touch
          CHECK(one["speedup"] > other["speedup"]);
        }
      }
    }
  }
}

TEST_CASE("errors in full", "[.table]") {
  const auto print = [](const char* what, const char* half, const Errors& errors) {
    for (const auto& [name, all] : errors) {
      std::printf("%-14s %-5s %-9s %3zu median %.4f p90 %.4f\n", what, half, name.c_str(), all.size(),
                  quantile(all, 0.5), quantile(all, 0.9));
    }
  };
  for (const char* half : {"fit", "held"}) {
    for (const char* id : {"h100", "h200"}) print(id, half, errors_of(read_gpu_model(id), read_data(id), half));
    print("h200 from h100", half, errors_of(scaled_h200(), read_data("h200"), half));
    print("h200 as h100", half, errors_of(read_gpu_model("h100"), read_data("h200"), half));
  }
}
