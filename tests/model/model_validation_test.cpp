// Predictions of every measured case of docs/results/model, by the shipped device files, and their errors against
// limits.
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/statistics.hpp"
#include "model/known_errors.hpp"
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

/// The same by what datasheets promise: FLOPs of whole tiles over the tensor cores' peak, or bytes over the memory's.
ModelledForward roofline_of(const GpuPeaks& peaks, double peak_flops, const json& experiment, const json& strategy) {
  const auto rows = strategy["rows"].get<std::vector<std::int32_t>>();
  const double tile = strategy["tile"], hidden = experiment["hidden"], intermediate = experiment["intermediate"];
  double all = 0, tile_rows = 0, used = 0;
  for (const std::int32_t count : rows) {
    all += count;
    tile_rows += std::ceil(count / tile) * tile;
    used += count > 0 ? 1 : 0;
  }
  const auto gemm_ms = [&](double in, double columns, double out) {
    const double bytes = 2 * (used * in * columns + all * (in + out));
    return std::max(2 * tile_rows * in * columns / peak_flops, bytes / peaks.memory_bytes) * 1e3;
  };
  ModelledForward times;
  times.stage_ms[index_of(Stage::kUp)] = gemm_ms(hidden, 2 * intermediate, intermediate);
  times.stage_ms[index_of(Stage::kDown)] = gemm_ms(intermediate, hidden, hidden);
  times.stage_ms[index_of(Stage::kCombine)] =
      2 * hidden * (all + experiment["tokens"].get<double>()) / peaks.memory_bytes * 1e3;
  for (const auto& ms : times.stage_ms) times.layer_ms += ms.value_or(0);
  times.uniform_ms = 6 * all * hidden * intermediate / peak_flops * 1e3;
  return times;
}

using Forward = std::function<ModelledForward(const json& experiment, const json& strategy)>;

/// Shares by which modelled figures are off.
using Errors = std::map<std::string, std::vector<double>>;

void add_error(Errors& errors, const std::string& name, double modelled, const json& measured) {
  errors[name].push_back(std::abs(modelled / measured.get<double>() - 1));
}

/// Of the cases that nothing was fitted on, or of the others.
Errors errors_of(const Forward& forward, const json& data, const std::string& half = "held") {
  Errors errors;
  for (const json& experiment : data["experiments"]) {
    if (experiment["name"].get<std::string>().rfind(half, 0) != 0) continue;
    const double none_ms = forward(experiment, experiment["strategies"][0]).layer_ms;
    for (const json& strategy : experiment["strategies"]) {
      const ModelledForward times = forward(experiment, strategy);
      add_error(errors, "up", *times.stage_ms[index_of(Stage::kUp)], strategy["up_ms"]);
      add_error(errors, "down", *times.stage_ms[index_of(Stage::kDown)], strategy["down_ms"]);
      add_error(errors, "combine", *times.stage_ms[index_of(Stage::kCombine)], strategy["combine_ms"]);
      add_error(errors, "layer", times.layer_ms, strategy["layer_ms"]);
      add_error(errors, "uniform", times.uniform_ms, strategy["uniform_ms"]);
      add_error(errors, "speedup", none_ms / times.layer_ms, strategy["speedup"]);
    }
  }
  return errors;
}

RouterConfig router_of(const json& experiment) {
  RouterConfig router;
  router.tokens = experiment["tokens"];
  router.experts = experiment["experts"];
  router.top_k = experiment["top_k"];
  if (experiment["groups"].get<bool>()) router.groups = ExpertGroups{};
  return router;
}

/// With routing and rounding.
Errors errors_of(const GpuModel& gpu, const json& data, const std::string& half = "held") {
  Errors errors = errors_of(
      [&](const json& experiment, const json& strategy) { return forward_of(gpu, experiment, strategy); }, data, half);
  for (const json& experiment : data["experiments"]) {
    if (experiment["name"].get<std::string>().rfind(half, 0) != 0) continue;
    const auto counts = experiment["counts"].get<std::vector<std::int32_t>>();
    for (const json& strategy : experiment["strategies"]) {
      add_error(errors, "rounding", model_rounding_us(gpu, strategy_of(strategy), counts), strategy["round_us"]);
    }
    if (experiment["route_us"].is_null()) continue;
    add_error(errors, "routing", model_routing_us(gpu, router_of(experiment)), experiment["route_us"]);
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

Forward h200_roofline() {
  constexpr double kDatasheetFlops = 989e12;
  return [peaks = read_gpu_model("h200").peaks](const json& experiment, const json& strategy) {
    return roofline_of(peaks, kDatasheetFlops, experiment, strategy);
  };
}

/// A layer's case, for ratios of two at different tiles.
struct LayerCase {
  std::vector<std::int64_t> layer;  // experts, top-k and widths
  std::int64_t tile;
  double modelled_ms, measured_ms;
};

/// Shares by which ratios of modelled times are off, of any two held cases of one layer at different tiles.
std::vector<double> errors_across_tiles(const Forward& forward, const json& data) {
  std::vector<LayerCase> cases;
  for (const json& experiment : data["experiments"]) {
    if (experiment["name"].get<std::string>().rfind("held", 0) != 0) continue;
    for (const json& strategy : experiment["strategies"]) {
      cases.push_back({{experiment["experts"], experiment["top_k"], experiment["hidden"], experiment["intermediate"]},
                       strategy["tile"],
                       forward(experiment, strategy).layer_ms,
                       strategy["layer_ms"]});
    }
  }
  std::vector<double> errors;
  for (const LayerCase& a : cases) {
    for (const LayerCase& b : cases) {
      if (a.layer != b.layer || a.tile == b.tile) continue;
      errors.push_back(std::abs(a.modelled_ms / b.modelled_ms / (a.measured_ms / b.measured_ms) - 1));
    }
  }
  return errors;
}

Forward forward_by(const GpuModel& gpu) {
  return [&gpu](const json& experiment, const json& strategy) { return forward_of(gpu, experiment, strategy); };
}

/// The worst of the stages'.
ModelError worst_of(const Errors& errors) {
  ModelError worst;
  for (const char* name : kStageNames) {
    worst.median = std::max(worst.median, quantile(errors.at(name), 0.5));
    worst.p90 = std::max(worst.p90, quantile(errors.at(name), 0.9));
  }
  worst.ratio = quantile(errors.at("speedup"), 0.9);
  worst.cases = static_cast<std::int64_t>(errors.at("layer").size());
  return worst;
}

/// A device file states them rounded up to a thousandth.
void check_stated(const ModelError& stated, const ModelError& worst) {
  constexpr double kRounding = 0.001;
  const auto rounded_up = [&](double from, double found) { return from >= found && from < found + kRounding; };
  INFO("median " << worst.median << ", 90th percentile " << worst.p90 << ", ratio " << worst.ratio);
  CHECK(rounded_up(stated.median, worst.median));
  CHECK(rounded_up(stated.p90, worst.p90));
  CHECK(rounded_up(stated.ratio, worst.ratio));
  CHECK(stated.cases == worst.cases);
}

/// Likewise, of ratios across tiles.
void check_stated_across(const ModelError& stated, double found) {
  INFO("across tiles " << found);
  REQUIRE(stated.ratio_across_tiles.has_value());
  CHECK(*stated.ratio_across_tiles >= found);
  CHECK(*stated.ratio_across_tiles < found + 0.001);
}

}  // namespace

TEST_CASE("the model of an H100 meets its limits on cases that it was not fitted on") {
  const GpuModel gpu = read_gpu_model("h100");
  const Errors errors = errors_of(gpu, read_data("h100"));
  REQUIRE(errors.at("layer").size() == 44);
  for (const char* name : kStageNames) check(errors, name, {0.03, 0.07});
  check_stated(gpu.error, worst_of(errors));
}

TEST_CASE("the model of an H200 with figures that --measure found there meets its limits") {
  const GpuModel gpu = read_gpu_model("h200");
  const Errors errors = errors_of(gpu, read_data("h200"));
  for (const char* name : kStageNames) check(errors, name, {0.04, 0.08});
  check_stated(gpu.error, worst_of(errors));
}

TEST_CASE("an H200 is predicted from an H100's figures by datasheets") {
  const Errors errors = errors_of(scaled_h200(), read_data("h200"));
  for (const char* name : kStageNames) check(errors, name, {0.05, 0.10});
  for (const char* id : {"h100_pcie", "h100_nvl"}) check_stated(read_gpu_model(id).error, worst_of(errors));
}

TEST_CASE("of GPUs of another architecture no more is claimed than a roofline would give") {
  ModelError worst = worst_of(errors_of(h200_roofline(), read_data("h200")));
  worst.ratio = std::max(worst.ratio, worst_of(errors_of(scaled_h200(), read_data("h200"))).ratio);
  for (const char* id : {"a100", "b200"}) check_stated(read_gpu_model(id).error, worst);
}

TEST_CASE("a device file states the error of ratios across tiles that is found") {
  const auto found = [](const Forward& forward, const char* data) {
    const std::vector<double> errors = errors_across_tiles(forward, read_data(data));
    REQUIRE(errors.size() == 112);
    return quantile(errors, 0.9);
  };
  const GpuModel h100 = read_gpu_model("h100"), h200 = read_gpu_model("h200"), scaled = scaled_h200();
  check_stated_across(h100.error, found(forward_by(h100), "h100"));
  check_stated_across(h200.error, found(forward_by(h200), "h200"));
  const double by_datasheets = found(forward_by(scaled), "h200");
  for (const char* id : {"h100_pcie", "h100_nvl"}) check_stated_across(read_gpu_model(id).error, by_datasheets);
  const double roofline = std::max(by_datasheets, found(h200_roofline(), "h200"));
  for (const char* id : {"a100", "b200"}) check_stated_across(read_gpu_model(id).error, roofline);
}

TEST_CASE("where the model is known to be off, it is told, and nowhere else") {
  const json data = read_data("h100");
  const GpuModel gpu = read_gpu_model("h100");
  std::vector<std::string> told;
  for (const json& experiment : data["experiments"]) {
    for (const json& strategy : experiment["strategies"]) {
      const auto rows = strategy["rows"].get<std::vector<std::int32_t>>();
      const double off = forward_of(gpu, experiment, strategy).layer_ms / strategy["layer_ms"].get<double>() - 1;
      const std::string place = experiment["name"].get<std::string>() + ", " + strategy["label"].get<std::string>();
      INFO(place << ": off by " << off);
      if (known_error(strategy["tile"], rows).empty()) {
        CHECK(off > -0.11);
        continue;
      }
      told.push_back(place);
      CHECK(off < -0.045);
    }
  }
  CHECK(told == std::vector<std::string>{"fit A 4096 lognormal 64, none", "fit F 8192 lognormal 64, none",
                                         "fit F 8192 lognormal 64, up", "held deepseek_v3 4096 gaussian 64, none"});
  CHECK(known_error(128, std::vector<std::int32_t>{150}).empty());
  CHECK(known_error(64, std::vector<std::int32_t>{150, 128, 64}).find("44 %") != std::string::npos);
  CHECK(known_error(64, std::vector<std::int32_t>{0}).empty());
}

TEST_CASE("the model ranks the strategies of the real trace as measured, and knows what they gain") {
  for (const char* id : {"h100", "h200"}) {
    const GpuModel gpu = read_gpu_model(id);
    const json data = read_data(id);
    for (const json& experiment : data["experiments"]) {
      if (experiment["name"].get<std::string>().find("trace") == std::string::npos) continue;
      const double none_ms = forward_of(gpu, experiment, experiment["strategies"][0]).layer_ms;
      const auto gain = [&](const json& strategy) { return none_ms / forward_of(gpu, experiment, strategy).layer_ms; };
      for (const json& one : experiment["strategies"]) {
        INFO(id << ", " << experiment["name"] << ", " << one["label"]);
        const double limit = one["tile"] == 128 ? 0.02 : 0.04;
        CHECK(std::abs(gain(one) - one["speedup"].get<double>()) <= limit);
        for (const json& other : experiment["strategies"]) {
          const double apart = gain(one) / gain(other);
          if (apart < 1 + 2 * gpu.error.ratio) continue;  // their intervals touch
          CHECK(one["speedup"] > other["speedup"]);
        }
      }
    }
  }
}

TEST_CASE("the table of the model's errors says what they are") {
  const auto all_of = [](const GpuModel& gpu, const char* data) { return errors_of(gpu, read_data(data)); };
  const GpuModel h200 = read_gpu_model("h200");
  const std::map<std::string, Errors> columns = {{"h100", all_of(read_gpu_model("h100"), "h100")},
                                                 {"h200", all_of(h200, "h200")},
                                                 {"scaled", all_of(scaled_h200(), "h200")},
                                                 {"as_h100", all_of(read_gpu_model("h100"), "h200")},
                                                 {"roofline", errors_of(h200_roofline(), read_data("h200"))}};
  std::ifstream file(std::string(TATR_SOURCE_DIR) + "/docs/results/model_errors.json");
  const json table = json::parse(file);
  for (const json& row : table["rows"]) {
    for (const auto& [name, errors] : columns) {
      const auto found = errors.find(row["quantity"].get<std::string>());
      if (found == errors.end() || !row.contains(name)) continue;
      const auto percent = [&](double share) { return std::round(1000 * quantile(found->second, share)) / 10; };
      INFO(row["quantity"] << " of " << name << ": " << percent(0.5) << ", " << percent(0.9));
      CHECK(row[name][0] == percent(0.5));
      CHECK(row[name][1] == percent(0.9));
    }
  }
}
