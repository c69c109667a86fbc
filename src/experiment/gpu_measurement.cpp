#include "experiment/gpu_measurement.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "config/read.hpp"
#include "core/error.hpp"
#include "core/version.hpp"
#include "experiment/environment.hpp"
#include "experiment/pipeline.hpp"
#include "experiment/settings.hpp"
#include "gemm/sm90/tatr_plan.hpp"
#include "measure/clocks.hpp"
#include "model/layer_model.hpp"

namespace tatr {

namespace {

using nlohmann::json;

constexpr const char* kLayers = R"({
  "dense": {
    "tile": 128,
    "router": {"tokens": 65536, "experts": 64, "top_k": 8},
    "layer": {"hidden": 4096, "intermediate": 1024}
  },
  "stream": {
    "tile": 64,
    "router": {"tokens": 512, "experts": 256, "top_k": 8},
    "layer": {"hidden": 4096, "intermediate": 1024}
  },
  "small": {
    "tile": 128,
    "router": {"tokens": 256, "experts": 8, "top_k": 2},
    "layer": {"hidden": 512, "intermediate": 512}
  }
})";

constexpr const char* kFound =
    "found by device --measure: flops_per_second, memory_bytes_per_second, gemm.launch_us, combine.bytes_per_second, "
    "uniform.rate, uniform.memory_rate, routing.launch_us; the others are those of h100";

MeasuredLayer measure_layer(const ExperimentConfig& config, System& system) {
  const ExperimentRecord record = run_experiment(config, system, {});
  const StrategyRecord& strategy = record.strategies.front();
  const LayerTiming& timing = *strategy.timing;
  return {config,
          strategy.metrics.counts_after,
          timing.of(Stage::kUp).median,
          timing.of(Stage::kDown).median,
          timing.of(Stage::kCombine).median,
          timing.route_us.median,
          timing.uniform_ms};
}

ModelledForward model_layer(const GpuModel& gpu, const MeasuredLayer& layer) {
  const Setting setting = settings_of(layer.config).front();
  return model_forward(gpu, layer_shape(layer.config, gpu.device), layer_options(layer.config, setting, {}),
                       layer.rows);
}

/// The value of `figure`, within a factor of `within`, with which `modelled` comes nearest to `measured`; it moves one
/// way.
template <class Modelled>
void solve(double& figure, double measured, Modelled modelled, double within = 8) {
  constexpr int kHalvings = 40;
  double low = std::log(figure / within), high = std::log(figure * within);
  const auto at = [&](double exponent) {
    figure = std::exp(exponent);
    return modelled();
  };
  const bool falls = at(low) > at(high);
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (at(middle) > measured) == falls ? low = middle : high = middle;
  }
}

}  // namespace

std::map<std::string, ExperimentConfig> measurement_configs() {
  std::map<std::string, ExperimentConfig> configs;
  const json layers = json::parse(kLayers);
  for (const auto& [name, layer] : layers.items()) {
    json config = layer;
    config["name"] = name;
    config["strategies"] = json::array({"none"});
    config["measure"] = {{"samples", 40}, {"precision", 0.002}, {"warm_up_ms", 5000}};
    configs.emplace(name, parse_experiment(config, name));
  }
  return configs;
}

void find_figures(GpuModel& gpu, const std::map<std::string, MeasuredLayer>& layers) {
  constexpr double kCombineWithin = 1.25;  // where elements bind and not bytes, bytes are not known from it
  const MeasuredLayer &dense = layers.at("dense"), &stream = layers.at("stream"), &small = layers.at("small");
  GpuFigures& figures = gpu.figures;
  const auto stage = [&](const MeasuredLayer& layer, Stage of) {
    return *model_layer(gpu, layer).stage_ms[index_of(of)];
  };
  const auto gemms = [&](const MeasuredLayer& layer) { return stage(layer, Stage::kUp) + stage(layer, Stage::kDown); };
  solve(
      figures.combine.bytes, dense.combine_ms, [&] { return stage(dense, Stage::kCombine); }, kCombineWithin);
  for (int pass = 0; pass < 3; ++pass) {  // each figure is a little in what the others are found from
    solve(figures.flops, dense.up_ms + dense.down_ms, [&] { return gemms(dense); });
    solve(figures.memory_bytes, stream.down_ms, [&] { return stage(stream, Stage::kDown); });
    solve(figures.gemm.launch_us, small.up_ms + small.down_ms, [&] { return gemms(small); });
    if (!dense.uniform_ms || !stream.uniform_ms) continue;
    solve(figures.uniform.rate, *dense.uniform_ms, [&] { return model_layer(gpu, dense).uniform_ms; });
    solve(figures.uniform.memory_rate, *stream.uniform_ms, [&] { return model_layer(gpu, stream).uniform_ms; });
  }
  solve(figures.routing.launch_us, small.route_us, [&] { return model_routing_us(gpu, small.config.router); });
}

GpuModel measure_gpu(System& system, const std::function<void(const std::string&)>& progress) {
  std::string reason;
  if (!system.is_cuda()) throw EnvironmentError("device --measure needs a GPU, and " + system.name() + " is none");
  const TatrProblem problem{1, 128, 128, 128, 128, false, false};
  if (!can_run(problem, tatr_device_of(system.device()), &reason)) {
    throw EnvironmentError("device --measure times the project's own kernel, which cannot run here: " + reason);
  }
  const std::optional<DeviceLimits> limits = device_limits(system.index());
  if (!limits) throw EnvironmentError("device --measure: NVML does not tell the clock and the power cap");

  const GpuModel base = read_gpu_model("h100");
  GpuModel gpu;
  gpu.name = system.device().name;
  gpu.device = system.device();
  gpu.from = FiguresFrom::kMeasured;
  gpu.measured = {describe_environment(system).date.substr(0, 10), program_version(), kFound};
  gpu.memory_bytes = limits->memory_bytes;
  gpu.peaks = {limits->clock_mhz, limits->power_w, base.peaks.flops_clock, limits->memory_bytes_per_second};
  gpu.figures = scale_figures(base, gpu.peaks, gpu.device.multiprocessors);
  gpu.error = read_gpu_model("h200").error;  // of a file that was made so
  gpu.error.own = false;

  const std::map<std::string, ExperimentConfig> configs = measurement_configs();
  std::map<std::string, MeasuredLayer> layers;
  for (const char* name : {"dense", "small", "stream", "dense"}) {  // what multiplies comes again, once the GPU is warm
    progress(std::string("measuring the layer \"") + name + "\"");
    layers.insert_or_assign(name, measure_layer(configs.at(name), system));
  }
  find_figures(gpu, layers);
  return gpu;
}

}  // namespace tatr
