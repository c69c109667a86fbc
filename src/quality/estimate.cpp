#include "quality/estimate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tatr {

namespace {

/// What the formula and its range look at.
struct Features {
  double damage = 0;       // mean square of the gate mass that a token loses, the first layer's and the others' mean
  double added_share = 0;  // mean over the layers
  double most_mass = 0;    // of any layer
  bool changed = false;    // any token lost or gained an expert
};

Features features_of(std::span<const RoundingMetrics* const> layers, double first_layer) {
  Features features;
  const auto others = static_cast<double>(layers.size() - 1);
  for (const RoundingMetrics* layer : layers) {
    const bool alone = layers.size() == 1, first = layer == layers.front();
    features.damage += (alone ? 1 : first ? first_layer : (1 - first_layer) / others) * layer->mean_square_dropped_mass;
    features.most_mass = std::max(features.most_mass, layer->dropped_gate_mass);
    features.added_share += layer->added_share / static_cast<double>(layers.size());
    features.changed = features.changed || layer->dropped > 0 || layer->added > 0;
  }
  return features;
}

/// Empty where the calibration covers these features. From nothing dropped up to its limits it does: both ends were
/// measured.
std::string outside(const CalibratedRange& range, const Features& features) {
  const auto beyond = [](const char* what, double value, double limit) {
    return value <= limit ? "" : fmt::format("out of range: {} {:.3g}, calibrated up to {:.3g}", what, value, limit);
  };
  for (const std::string& reason :
       {beyond("damage", features.damage, range.damage), beyond("dropped mass", features.most_mass, range.dropped_mass),
        beyond("added share", features.added_share, range.added_share)}) {
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
  if (router.normalise_gates != covers.normalise_gates) {
    return covers.normalise_gates ? "gates that do not add up to 1" : "normalised gates";
  }
  if (!router.selection_bias.empty() && !covers.selection_bias) return "a selection bias";
  if (has_groups(router) && !covers.groups) return "expert groups";
  return {};
}

/// What an estimate of this network comes from: the calibration's own network, or those that it was held against.
struct Basis {
  ChangeFormula formula;
  ChangeSpread spread;
  CalibratedRange range;
  CoveredRange layers;
  bool ranking = false;
};

/// Absent where no measured network was like this one: `why_not` says why. Logits that are no network's stand for the
/// calibration's own shape at most.
std::optional<Basis> basis_of(const Calibration& calibration, const RouterConfig& router, const std::string& model,
                              std::string& why_not) {
  const CalibrationCover& covers = calibration.covers;
  const auto has_shape = [&](const CoveredRange& top_k, const CoveredRange& experts) {
    return top_k.holds(router.top_k) && experts.holds(router.experts);
  };
  const bool own_shape = has_shape(covers.top_k, covers.experts);
  if (own_shape && (covers.model.empty() || covers.model == model)) {
    return Basis{
        calibration.formula, calibration.spread, calibration.range, {calibration.layers, calibration.layers}, false};
  }
  const auto& other = calibration.elsewhere;
  const bool is_network = router.source.trace() != nullptr;
  if (other && has_shape(other->top_k, other->experts) && (is_network || own_shape)) {
    return Basis{other->formula, other->spread, other->range, other->layers, true};
  }
  if (own_shape) {
    why_not = fmt::format("networks other than '{}'", covers.model);
  } else if (!is_network) {
    why_not =
        fmt::format("logits of no network, but for top-{} of {} experts", words(covers.top_k), words(covers.experts));
  } else {
    why_not = fmt::format("top-{} of {} experts, but for top-{} of {}", router.top_k, router.experts,
                          words(other ? other->top_k : covers.top_k), words(other ? other->experts : covers.experts));
  }
  return std::nullopt;
}

std::string not_calibrated(const CalibrationCover& covers, const RouterConfig& router, const StrategyConfig& strategy,
                           const Features& features, const std::string& other_network) {
  std::string what = uncovered_router(covers, router);
  if (what.empty()) what = other_network;
  if (what.empty() && strategy.renormalise) what = "renormalised gates";
  if (what.empty() && features.added_share > 0 && strategy.added_gate != covers.added_gate) {
    what = strategy.added_gate == AddedGate::kNormalised ? "added rows with normalised gates"
                                                         : "added rows with the score for a gate";
  }
  return what.empty() ? what : "not calibrated for " + what;
}

/// What no measurement had though the formula reaches it: left out of the fit, strategies are estimated about as well
/// as settings of a strategy are (docs/quality.md).
std::vector<std::string> beyond_measurements(const Calibration& calibration, const Basis& basis,
                                             const RouterConfig& router, const StrategyConfig& strategy,
                                             std::size_t layers) {
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
  if (layers > 1 && !basis.layers.holds(static_cast<std::int64_t>(layers))) {
    beyond.push_back(fmt::format("{} layers in place of {}", layers, words(basis.layers)));
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

QualityEstimate estimate_quality(const Calibration& calibration, const RouterConfig& router,
                                 const StrategyConfig& strategy, std::int64_t tile,
                                 std::span<const RoundingMetrics* const> layers, const std::string& model) {
  QualityEstimate estimate;
  std::string other_network;
  const std::optional<Basis> basis = basis_of(calibration, router, model, other_network);
  const Features features = features_of(layers, basis ? basis->formula.first_layer : calibration.formula.first_layer);
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
  estimate.why_not = gates ? not_calibrated(calibration.covers, router, strategy, features, other_network)
                           : std::string("gates are not known");
  if (estimate.why_not.empty()) estimate.why_not = outside(basis->range, features);
  if (!estimate.why_not.empty()) return estimate;
  const ChangeFormula& formula = basis->formula;
  const double change =
      formula.damage * std::pow(features.damage, formula.power) - formula.gain * std::sqrt(features.added_share);
  const ChangeSpread& spread = basis->spread;
  const auto [low, high] =
      std::minmax({spread.least * change, spread.most * change, change - spread.absolute, change + spread.absolute});
  estimate.ranking = basis->ranking;
  estimate.beyond = beyond_measurements(calibration, *basis, router, strategy, layers.size());
  estimate.post_hoc = PerplexityEstimate{std::expm1(change), std::expm1(low), std::expm1(high), calibration.name};
  return estimate;
}

}  // namespace tatr
