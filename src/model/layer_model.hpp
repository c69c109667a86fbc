// The times of one layer on a GPU that need not be at hand: pure arithmetic from a dispatch's rows and a device file.
// docs/model.md derives it. Modelled, never measured.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "layer/layer_pass.hpp"
#include "layer/stage.hpp"
#include "model/gpu_model.hpp"
#include "options/options.hpp"

namespace tatr {

/// Milliseconds of each stage that the pass has, and of all.
struct ModelledForward {
  std::array<std::optional<double>, kStages.size()> stage_ms;
  double layer_ms = 0;
  double uniform_ms = 0;  // the two GEMMs of cuBLAS at equal counts of as many rows
};

/// Of the forward pass with the project's own kernel, whose tiles the model walks. `rows` [E], of each expert; `shape`
/// is the full layer's. `options` says tiles and fusions.
ModelledForward model_forward(const GpuModel& gpu, const LayerShape& shape, const LayerOptions& options,
                              std::span<const std::int32_t> rows);

/// Microseconds of top-k with gates and counts, from logits in the GPU's memory.
double model_routing_us(const GpuModel& gpu, const RouterConfig& router);

/// Microseconds of one rounding with its dispatch, as a replayed graph. `counts` [E] are the router's.
double model_rounding_us(const GpuModel& gpu, const StrategyConfig& strategy, std::span<const std::int32_t> counts);

}  // namespace tatr
