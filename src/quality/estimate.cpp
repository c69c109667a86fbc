#include "quality/estimate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tatr {

namespace {

/// What the formula and its range look at.
struct Features {
  double damage = 0, added_share = 0;       // means over the layers
  double most_mass = 0, most_severity = 0;  // of any layer; severity: mean cube over mean square of what is lost
  bool changed = false;                     // any token lost or gained an expert
};

Features features_of(std::span<const RoundingMetrics* const> layers) {
  Features features;
  const double share = 1.0 / static_cast<double>(layers.size());
  for (const RoundingMetrics* layer : layers) {
    features.damage +=
        share * fifth_moment(layer->dropped_gate_mass, layer->mean_square_dropped_mass, layer->mean_cube_dropped_mass);
    features.most_mass = std::max(features.most_mass, layer->dropped_gate_mass);
    if (layer->mean_square_dropped_mass > 0) {
      features.most_severity =
          std::max(features.most_severity, layer->mean_cube_dropped_mass / layer->mean_square_dropped_mass);
    }
    features.added_share += share * layer->added_share;
    features.changed = features.changed || layer->dropped > 0 || layer->added > 0;
  }
  return features;
}

/// Empty where the calibration covers these features. From nothing dropped up to its limits it does: both ends were
/// measured.
std::string outside(const Calibration& calibration, const Features& features) {
  const auto beyond = [](const char* what, double value, double limit) {
    return value <= limit ? "" : fmt::format("out of range: {} {:.3g}, calibrated up to {:.3g}", what, value, limit);
  };
  for (const std::string& reason : {beyond("damage", features.damage, calibration.largest_damage),
                                    beyond("dropped mass", features.most_mass, calibration.largest_dropped_mass),
                                    beyond("severity", features.most_severity, calibration.largest_severity),
                                    beyond("added share", features.added_share, calibration.largest_added_share)}) {
    if (!reason.empty()) return reason;
  }
  return {};
}

bool has_groups(const RouterConfig& router) { return router.groups && router.groups->count > 1; }

std::string words(const CoveredRange& range) {
  if (range.least == range.most) return fmt::format("{}", range.least);
  if (range.most == CoveredRange{}.most) return range.least == 1 ? "any" : fmt::format("{} or more", range.least);
  return fmt::format("{} to {}", range.least, range.most);
}

/// Empty where the measured routers were of this kind. What the formula was fitted to: the shares of gate mass that are
/// lost, and a gain by added rows, whose gates are another share of the token's with any other scoring or choice.
std::string uncovered_router(const CalibrationCover& covers, const RouterConfig& router) {
  const bool sigmoid = router.scoring == Scoring::kSigmoid;
  if (router.scoring != covers.scoring) return sigmoid ? "sigmoid routers" : "softmax routers";
  if (!router.normalise_gates) return "gates that do not add up to 1";
  if (!router.selection_bias.empty() && !covers.selection_bias) return "a selection bias";
  if (has_groups(router) && !covers.groups) return "expert groups";
  if (!covers.top_k.holds(router.top_k) || !covers.experts.holds(router.experts)) {
    return fmt::format("top-{} of {} experts, but for top-{} of {}", router.top_k, router.experts, words(covers.top_k),
                       words(covers.experts));
  }
  return {};
}

std::string not_calibrated(const CalibrationCover& covers, const RouterConfig& router, const StrategyConfig& strategy,
                           const Features& features) {
  std::string what = uncovered_router(covers, router);
  if (what.empty() && strategy.renormalise) what = "renormalised gates";
  if (what.empty() && features.added_share > 0 && strategy.added_gate != covers.added_gate) {
    what = strategy.added_gate == AddedGate::kNormalised ? "added rows with normalised gates"
                                                         : "added rows with the score for a gate";
  }
  return what.empty() ? what : "not calibrated for " + what;
}

/// What no measurement had though the formula reaches it: left out of the fit, strategies are estimated about as well
/// as settings of a strategy are (docs/quality.md).
std::vector<std::string> beyond_measurements(const Calibration& calibration, const RouterConfig& router,
                                             const StrategyConfig& strategy, std::size_t layers) {
  const std::vector<std::string>& measured = calibration.covers.strategies;
  if (measured.empty()) return {};
  const auto is_measured = [&](const std::string& name) {
    return std::find(measured.begin(), measured.end(), name) != measured.end();
  };
  const bool tiles =
      strategy.kind == StrategyKind::kBudget && strategy.get<BudgetOptions>().candidates == BudgetCandidates::kTiles;
  std::vector<std::string> beyond;
  if (!is_measured(tiles ? "tiles" : strategy.name))
    beyond.push_back(tiles ? "budget among tiles" : "strategy " + strategy.name);
  if (router.source.trace() == nullptr) beyond.emplace_back("logits of no network");
  if (layers > 1 && static_cast<std::int64_t>(layers) != calibration.layers) {
    beyond.push_back(fmt::format("{} layers in place of {}", layers, calibration.layers));
  }
  return beyond;
}

/// Whether the published models trained with rounding had routers, and added rows, of this kind.
bool like_published(const RouterConfig& router, const StrategyConfig& strategy) {
  return router.scoring == Scoring::kSoftmax && router.normalise_gates && router.selection_bias.empty() &&
         !has_groups(router) && !strategy.renormalise && strategy.added_gate == AddedGate::kScore;
}

/// By interpolation over log r between published figures; absent outside them.
std::optional<PerplexityEstimate> trained_change(const Calibration& calibration, const StrategyConfig& strategy,
                                                 double r) {
  const auto found = calibration.trained.find(strategy.name);
  if (found == calibration.trained.end()) return std::nullopt;
  const std::vector<TrainedChange>& points = found->second;
  constexpr double kSame = 1e-9;  // of r, which is a quotient
  const bool covered = r >= points.front().r * (1 - kSame) && r <= points.back().r * (1 + kSame);
  if (!covered) return std::nullopt;
  TrainedChange change = points.front();
  for (std::size_t i = 1; i < points.size(); ++i) {
    const TrainedChange& before = points[i - 1];
    const TrainedChange& after = points[i];
    if (r < before.r * (1 + kSame)) break;
    const double part = std::min(std::log(r / before.r) / std::log(after.r / before.r), 1.0);
    change = {r, before.value + part * (after.value - before.value),
              before.error + part * (after.error - before.error)};
  }
  return PerplexityEstimate{change.value, change.value - change.error, change.value + change.error,
                            calibration.trained_source};
}

}  // namespace

double fifth_moment(double mean, double mean_square, double mean_cube) {
  // Both points of the rule are roots of x^2 + b x + c, to which 1 and x are orthogonal: m[n+2] = -b m[n+1] - c m[n].
  const double variance = mean_square - mean * mean;
  const bool spread = variance > 1e-12;
  const double b = spread ? (mean * mean_square - mean_cube) / variance : -mean;
  const double c = spread ? -mean_square - b * mean : 0.0;
  const double fourth = -b * mean_cube - c * mean_square;
  return std::max(-b * fourth - c * mean_cube, 0.0);
}

QualityEstimate estimate_quality(const Calibration& calibration, const RouterConfig& router,
                                 const StrategyConfig& strategy, std::int64_t tile,
                                 std::span<const RoundingMetrics* const> layers) {
  QualityEstimate estimate;
  const Features features = features_of(layers);
  const bool gates = std::all_of(layers.begin(), layers.end(),
                                 [](const RoundingMetrics* layer) { return layer->known >= Known::kGates; });
  if (strategy.kind == StrategyKind::kNone || !features.changed) {
    estimate.post_hoc = PerplexityEstimate{0, 0, 0, calibration.name};
    if (strategy.kind == StrategyKind::kNone)
      estimate.trained = PerplexityEstimate{0, 0, 0, calibration.trained_source};
    return estimate;
  }
  if (gates && like_published(router, strategy) && tile > 0 && strategy.kind != StrategyKind::kDynamic) {
    const double r = static_cast<double>(router.tokens * router.top_k) / static_cast<double>(router.experts * tile);
    estimate.trained = trained_change(calibration, strategy, r);
  }
  estimate.why_not =
      gates ? not_calibrated(calibration.covers, router, strategy, features) : std::string("gates are not known");
  if (estimate.why_not.empty()) estimate.why_not = outside(calibration, features);
  if (!estimate.why_not.empty()) return estimate;
  const double change = calibration.damage * std::pow(features.damage, calibration.power) -
                        calibration.gain * std::sqrt(features.added_share);
  const double half = std::max(calibration.absolute_error, calibration.relative_error * std::abs(change));
  estimate.beyond = beyond_measurements(calibration, router, strategy, layers.size());
  estimate.post_hoc =
      PerplexityEstimate{std::expm1(change), std::expm1(change - half), std::expm1(change + half), calibration.name};
  return estimate;
}

}  // namespace tatr
