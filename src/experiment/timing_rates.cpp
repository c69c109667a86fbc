#include "experiment/timing_rates.hpp"

#include <algorithm>

#include "model/tile_cost.hpp"

namespace tatr {

void add_rates(LayerTiming& timing, const RoundingMetrics& metrics) {
  struct Rows {
    double useful, hardware;
  };
  const double useful = useful_rows(metrics);
  const Rows forward{useful, forward_rows(metrics)}, backward{2.0 * useful, backward_rows(metrics)};
  const double flops = row_flops(timing.hidden, timing.intermediate);
  const auto add = [&](const TimingSeries& series, const Rows& rows, std::optional<double>& of_useful,
                       std::optional<double>& of_hardware) {
    const double seconds = (series.modelled ? series.modelled->value : series.median) * 1e-3;
    if (seconds <= 0.0) return;
    of_useful = rows.useful * flops / seconds * 1e-12;
    of_hardware = rows.hardware * flops / seconds * 1e-12;
  };
  if (!timing.training) return add(timing.layer_ms, forward, timing.useful_tflops, timing.hardware_tflops);
  const Rows both{forward.useful + backward.useful, forward.hardware + backward.hardware};
  add(timing.layer_ms, both, timing.useful_tflops, timing.hardware_tflops);
  add(timing.forward_ms, forward, timing.forward_useful_tflops, timing.forward_hardware_tflops);
  add(timing.backward_ms, backward, timing.backward_useful_tflops, timing.backward_hardware_tflops);
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
