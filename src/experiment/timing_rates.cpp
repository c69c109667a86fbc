#include "experiment/timing_rates.hpp"

#include <algorithm>

#include "model/tile_cost.hpp"

namespace tatr {

void add_rates(LayerTiming& timing, const RoundingMetrics& metrics) {
  constexpr double kBackward = 2.0;  // a backward pass multiplies twice as much as a forward one
  const double forward = row_flops(timing.hidden, timing.intermediate);
  const auto add = [&](const TimingSeries& series, double flops, std::optional<double>& useful,
                       std::optional<double>& hardware) {
    const double seconds = (series.modelled ? series.modelled->value : series.median) * 1e-3;
    if (seconds <= 0.0) return;
    useful = useful_rows(metrics) * flops / seconds * 1e-12;
    hardware = tile_rows(metrics) * flops / seconds * 1e-12;
  };
  add(timing.layer_ms, timing.training ? (1.0 + kBackward) * forward : forward, timing.useful_tflops,
      timing.hardware_tflops);
  if (!timing.training) return;
  add(timing.forward_ms, forward, timing.forward_useful_tflops, timing.forward_hardware_tflops);
  add(timing.backward_ms, kBackward * forward, timing.backward_useful_tflops, timing.backward_hardware_tflops);
}

std::optional<std::size_t> none_beside(const std::vector<Setting>& settings, std::size_t setting) {
  const auto none = std::find_if(settings.begin(), settings.end(), [&](const Setting& other) {
    return other.strategy->kind == StrategyKind::kNone && other.tile == settings[setting].tile;
  });
  if (none == settings.end()) return std::nullopt;
  return static_cast<std::size_t>(none - settings.begin());
}

std::vector<std::string> end_to_end_counts(bool routes) {
  if (routes) return {"routing", "rounding", "layer"};
  return {"rounding", "layer"};
}

}  // namespace tatr
