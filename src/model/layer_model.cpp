#include "model/layer_model.hpp"

#include <algorithm>

#include "core/integer_math.hpp"

namespace tatr {

ModelledForward model_forward(const GpuModel& gpu, const LayerShape& shape, const LayerOptions& options,
                              std::span<const std::int32_t> rows) {
  double tile_rows = 0, all = 0;
  for (const std::int32_t count : rows) {
    tile_rows += static_cast<double>(ceil_div<std::int64_t>(count, options.tile_rows) * options.tile_rows);
    all += count;
  }
  const double flops = gpu.figures["flops_per_second"], bytes = gpu.figures["bytes_per_second"];
  const double weights = static_cast<double>(shape.hidden * shape.intermediate), experts = static_cast<double>(rows.size());
  const auto gemm = [&](double n) { return std::max(2 * tile_rows * n / flops, 2 * experts * n / bytes) * 1e3; };
  ModelledForward times;
  times.stage_ms[index_of(Stage::kUp)] = gemm(2 * weights);
  times.stage_ms[index_of(Stage::kDown)] = gemm(weights);
  times.stage_ms[index_of(Stage::kCombine)] = all * static_cast<double>(shape.hidden) * 2 / bytes * 1e3;
  for (const auto& stage : times.stage_ms) times.layer_ms += stage.value_or(0);
  times.uniform_ms = 6 * all * weights / flops * 1e3;
  return times;
}

double model_routing_us(const GpuModel& gpu, const RouterConfig& router) {
  return static_cast<double>(router.tokens * router.experts) * 4 / gpu.figures["bytes_per_second"].get<double>() * 1e6 + 8;
}

double model_rounding_us(const GpuModel&, const RouterConfig&, const StrategyConfig&) { return 20; }

}  // namespace tatr
