#include "model/floors.hpp"

#include <algorithm>

#include "model/tile_cost.hpp"

namespace tatr {

std::optional<DeviceRates> rates_of(const std::string& device) {
  for (const std::string& id : shipped_gpu_models()) {
    const GpuModel gpu = read_gpu_model(id);
    if (gpu.name == device) return gpu.ceilings;
  }
  return std::nullopt;
}

namespace {

GemmFloor floor_by(const DeviceRates& rates, double flops, double bytes) {
  const double by_flops = flops / rates.flops * 1e3, by_bytes = bytes / rates.bytes * 1e3;
  return {std::max(by_flops, by_bytes), by_bytes > by_flops};
}

}  // namespace

GemmFloor floor_of(const DeviceRates& rates, const RoundingMetrics& metrics, const GemmWidths& widths, DType dtype) {
  const auto used = static_cast<double>(std::count_if(metrics.tiles_per_expert.begin(), metrics.tiles_per_expert.end(),
                                                      [](std::int32_t tiles) { return tiles > 0; }));
  const double weights = static_cast<double>(widths.in * widths.columns);
  const double flops = 2.0 * tile_rows(metrics) * weights;
  const double bytes = static_cast<double>(bytes_of(dtype)) *
                       (used * weights + static_cast<double>(metrics.rows * (widths.in + widths.out)));
  return floor_by(rates, flops, bytes);
}

GemmFloor weight_gradient_floor(const DeviceRates& rates, const RoundingMetrics& metrics, const OuterWidths& widths,
                                DType dtype, DType gradient) {
  const double weights = static_cast<double>(widths.first * widths.second);
  const double flops = 2.0 * step_rows(metrics) * weights;
  const double written = static_cast<double>(metrics.counts_after.size()) * weights;
  const double bytes =
      static_cast<double>(bytes_of(gradient)) * written +
      static_cast<double>(bytes_of(dtype)) * static_cast<double>(metrics.rows * (widths.first + widths.second));
  return floor_by(rates, flops, bytes);
}

}  // namespace tatr
