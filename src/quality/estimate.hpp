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
};

/// The smallest fifth moment of a variable >= 0 whose first three are these: that of the two-point Gauss rule. Here the
/// variable is the gate mass that a token loses.
double fifth_moment(double mean, double mean_square, double mean_cube);

/// For a network whose layers one strategy rounded at one tile. The layers count alike: a single one stands for a
/// network of such layers, as deep as the calibrated one. Outside the calibrated range, and for routers and options
/// that the calibration does not cover, there is no number.
QualityEstimate estimate_quality(const Calibration& calibration, const RouterConfig& router,
                                 const StrategyConfig& strategy, std::int64_t tile,
                                 std::span<const RoundingMetrics* const> layers);

}  // namespace tatr
