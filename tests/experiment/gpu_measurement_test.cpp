#include "experiment/gpu_measurement.hpp"

#include "catch.hpp"
#include "core/error.hpp"
#include "experiment/settings.hpp"
#include "model/layer_model.hpp"

using namespace tatr;

namespace {

/// What a GPU would be measured to take if it were as the model says.
MeasuredLayer as_modelled(const GpuModel& gpu, const ExperimentConfig& config) {
  const RouterConfig& router = config.router;
  MeasuredLayer layer;
  layer.config = config;
  layer.rows.assign(static_cast<std::size_t>(router.experts),
                    static_cast<std::int32_t>(router.tokens * router.top_k / router.experts));
  const ModelledForward times = model_forward(gpu, layer_shape(config, gpu.device),
                                              layer_options(config, settings_of(config).front(), {}), layer.rows);
  layer.up_ms = *times.stage_ms[index_of(Stage::kUp)];
  layer.down_ms = *times.stage_ms[index_of(Stage::kDown)];
  layer.combine_ms = *times.stage_ms[index_of(Stage::kCombine)];
  layer.uniform_ms = times.uniform_ms;
  layer.route_us = model_routing_us(gpu, router);
  return layer;
}

}  // namespace

TEST_CASE("the figures of a GPU are found from its layers' times") {
  GpuModel gpu = read_gpu_model("h200");
  std::map<std::string, MeasuredLayer> layers;
  for (const auto& [name, config] : measurement_configs()) layers.emplace(name, as_modelled(gpu, config));
  GpuModel found = gpu;
  found.figures = scale_figures(read_gpu_model("h100"), gpu.peaks, gpu.device.multiprocessors);
  find_figures(found, layers);
  const auto near = [](double value) { return Approx(value).epsilon(0.005); };
  CHECK(found.figures.flops == near(gpu.figures.flops));
  CHECK(found.figures.memory_bytes == near(gpu.figures.memory_bytes));
  CHECK(found.figures.gemm.launch_us == near(gpu.figures.gemm.launch_us));
  CHECK(found.figures.uniform.rate == near(gpu.figures.uniform.rate));
  CHECK(found.figures.uniform.memory_rate == near(gpu.figures.uniform.memory_rate));
  CHECK(found.figures.routing.launch_us == near(gpu.figures.routing.launch_us));
}

TEST_CASE("a device file that is written reads as the same GPU") {
  GpuModel gpu = read_gpu_model("h100");
  const nlohmann::ordered_json document = gpu_model_document(gpu);
  CHECK(document == gpu_model_document("h100"));
}

TEST_CASE("a CPU is not measured as a GPU") {
  const auto cpu = make_cpu_system(1);
  CHECK_THROWS_AS(measure_gpu(*cpu, [](const std::string&) {}), EnvironmentError);
}
