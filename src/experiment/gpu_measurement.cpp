#include "experiment/gpu_measurement.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

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

/// The layers: one that multiplies all the time, one that waits for weights, one that is over at once.
constexpr const char* kLayers = R"({
  "dense":  {"router": {"tokens": 65536, "experts": 64, "top_k": 8}, "layer": {"hidden": 4096, "intermediate": 1024}},
  "stream": {"router": {"tokens": 512, "experts": 256, "top_k": 8}, "layer": {"hidden": 4096, "intermediate": 1024}, "tile": 64},
  "small":  {"router": {"tokens": 256, "experts": 8, "top_k": 2}, "layer": {"hidden": 512, "intermediate": 512}}
})";

/// A layer with its times, which can be modelled again with other figures.
struct MeasuredLayer {
  ExperimentConfig config;
  ExperimentRecord record;

  const StrategyRecord& strategy() const { return record.strategies.front(); }
  double measured(Stage stage) const { return strategy().timing->of(stage).median; }
  ModelledForward modelled(const GpuModel& gpu) const {
    const Setting setting = settings_of(config).front();
    return model_forward(gpu, layer_shape(config, gpu.device), layer_options(config, setting, {}),
                         strategy().metrics.counts_after);
  }
  double measured_gemms() const { return measured(Stage::kUp) + measured(Stage::kDown); }
  double modelled(const GpuModel& gpu, Stage stage) const { return *modelled(gpu).stage_ms[index_of(stage)]; }
  double modelled_gemms(const GpuModel& gpu) const {
    const ModelledForward times = modelled(gpu);
    return *times.stage_ms[index_of(Stage::kUp)] + *times.stage_ms[index_of(Stage::kDown)];
  }
};

MeasuredLayer measure_layer(const std::string& name, json config, System& system) {
  config["name"] = name;
  config["strategies"] = {"none"};
  config["measure"] = {{"samples", 40}, {"precision", 0.002}, {"warm_up_ms", 5000}};
  MeasuredLayer layer{parse_experiment(config, name), {}};
  layer.record = run_experiment(layer.config, system, {});
  return layer;
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

void find_figures(GpuModel& gpu, const std::map<std::string, MeasuredLayer>& layers) {
  const MeasuredLayer &dense = layers.at("dense"), &stream = layers.at("stream"), &small = layers.at("small");
  GpuFigures& figures = gpu.figures;
  const auto solve_gemms = [&](double& figure, const MeasuredLayer& layer) {
    solve(figure, layer.measured_gemms(), [&] { return layer.modelled_gemms(gpu); });
  };
  const auto solve_uniform = [&](double& figure, const MeasuredLayer& layer) {
    if (const auto& measured = layer.strategy().timing->uniform_ms) {
      solve(figure, *measured, [&] { return layer.modelled(gpu).uniform_ms; });
    }
  };
  // Where elements bind and not bytes, bytes are not known from it.
  constexpr double kCombineWithin = 1.25;
  solve(
      figures.combine.bytes, dense.measured(Stage::kCombine), [&] { return dense.modelled(gpu, Stage::kCombine); },
      kCombineWithin);
  for (int pass = 0; pass < 3; ++pass) {  // each figure is a little in what the others were found from
    solve_gemms(figures.flops, dense);
    solve(figures.memory_bytes, stream.measured(Stage::kDown), [&] { return stream.modelled(gpu, Stage::kDown); });
    solve_gemms(figures.gemm.launch_us, small);
    solve(figures.combine.launch_us, small.measured(Stage::kCombine),
          [&] { return small.modelled(gpu, Stage::kCombine); });
    solve_uniform(figures.uniform.rate, dense);
    solve_uniform(figures.uniform.memory_rate, stream);
  }
  solve(figures.routing.launch_us, small.strategy().timing->route_us.median,
        [&] { return model_routing_us(gpu, small.config.router); });
}

/// Dense bf16 FLOPs of a multiprocessor in a clock, by architecture (tuning guides, throughput of tensor cores).
double flops_clock_of(int compute_capability) { return compute_capability >= 100 ? 8192 : 4096; }

}  // namespace

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
  gpu.measured = {describe_environment(system).date.substr(0, 10), program_version()};
  gpu.memory_bytes = limits->memory_bytes;
  gpu.peaks = {limits->clock_mhz, limits->power_w, flops_clock_of(gpu.device.compute_capability),
               limits->memory_bytes_per_second};
  gpu.figures = scale_figures(base, gpu.peaks, gpu.device.multiprocessors);
  gpu.error = base.error;
  gpu.error.own = false;

  std::map<std::string, MeasuredLayer> layers;
  const json asked = json::parse(kLayers);
  for (const char* name : {"dense", "small", "stream", "dense"}) {  // what multiplies comes again, once the GPU is warm
    progress(std::string("measuring the layer \"") + name + "\"");
    layers.insert_or_assign(name, measure_layer(name, asked[name], system));
  }
  find_figures(gpu, layers);
  return gpu;
}

}  // namespace tatr
