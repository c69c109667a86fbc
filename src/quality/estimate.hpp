// The estimated change of a network's perplexity. Decides the formula and where it may be used; where its numbers come
// from is quality/calibration.hpp's business.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "options/options.hpp"
#include "quality/calibration.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// Relative change of perplexity (0.001: 0.1 % worse) with the interval of its calibration.
struct PerplexityEstimate {
  double value = 0, low = 0, high = 0;
  std::string calibration;
};

struct QualityEstimate {
  std::optional<PerplexityEstimate> post_hoc;  // a model trained with plain top-k, rounded at evaluation only
  std::optional<PerplexityEstimate> trained;   // a model trained with the rounding and evaluated without it
  std::string why_not;                         // why post_hoc is absent
  std::vector<std::string> beyond;             // what of the setting post_hoc is given for but no measurement had
  bool ranking = false;                        // post_hoc is of a network that the calibration was not fitted to
};

/// For a network whose layers one strategy rounded at one tile, in their order: the first counts most. A single one
/// stands for a network of such layers, as deep as the calibrated one. `model`: what the logits say they are of; empty:
/// nothing. Outside the calibrated range, and for routers and options that the calibration does not cover, there is no
/// number.
QualityEstimate estimate_quality(const Calibration& calibration, const RouterConfig& router,
                                 const StrategyConfig& strategy, std::int64_t tile,
                                 std::span<const RoundingMetrics* const> layers, const std::string& model);

}  // namespace tatr
