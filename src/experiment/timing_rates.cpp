#include "experiment/timing_rates.hpp"

#include <algorithm>

#include "model/tile_cost.hpp"

namespace tatr {

void add_rates(LayerTiming& timing, double layer_ms, const RoundingMetrics& metrics) {
  const double seconds = layer_ms * 1e-3;
  if (seconds <= 0.0) return;
  const double flops = row_flops(timing.hidden, timing.intermediate);
  timing.useful_tflops = useful_rows(metrics) * flops / seconds * 1e-12;
  timing.hardware_tflops = tile_rows(metrics) * flops / seconds * 1e-12;
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
