#include "analysis/documented_why.hpp"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "core/format.hpp"
#include "model/tile_cost.hpp"
#include "records/metric_catalogue.hpp"

namespace tatr {
namespace {

std::int64_t total_assignments(const ExperimentRecord& experiment) {
  std::int64_t total = 0;
  for (const RoutingRecord& routing : experiment.routing) total += routing.assignments;
  return total;
}

/// Mean tokens per expert over all layers; 0 where nothing was routed.
double mean_load(const ExperimentRecord& experiment) {
  std::int64_t experts = 0;
  for (const RoutingRecord& routing : experiment.routing) experts += routing.experts;
  return experts == 0 ? 0 : static_cast<double>(total_assignments(experiment)) / static_cast<double>(experts);
}

/// The document that a source names: what stands before its first comma, "example 04" of "example 04, Round Down".
std::string document_of(const std::string& source) { return source.substr(0, source.find(',')); }

/// The figures of one document and tile, looked up by metric and strategy.
class Claims {
 public:
  Claims(const DocumentedFigure& figure, const ExperimentRecord& experiment)
      : figure_(figure), experiment_(experiment) {}

  std::optional<double> value(const std::string& metric, const std::string& strategy) const {
    for (const DocumentedFigure& other : experiment_.config.documented) {
      if (other.metric == metric && other.strategy == strategy &&
          document_of(other.source) == document_of(figure_.source) && tile(other) == tile(figure_)) {
        return other.value;
      }
    }
    return std::nullopt;
  }

  std::optional<double> value(const std::string& metric) const { return value(metric, figure_.strategy); }

  const StrategyConfig* strategy(const std::string& label) const {
    for (const StrategyConfig& strategy : experiment_.config.strategies) {
      if (strategy.label == label) return &strategy;
    }
    return nullptr;
  }

  /// The label of plain top-k; empty: not in the list.
  std::string none() const {
    for (const StrategyConfig& strategy : experiment_.config.strategies) {
      if (strategy.kind == StrategyKind::kNone) return strategy.label;
    }
    return {};
  }

 private:
  std::int64_t tile(const DocumentedFigure& figure) const {
    return figure.tile != 0 || experiment_.config.tiles.empty() ? figure.tile : experiment_.config.tiles.front();
  }

  const DocumentedFigure& figure_;
  const ExperimentRecord& experiment_;
};

bool far_apart(double share, double other) { return std::abs(share - other) > 0.005; }

/// A count and its share of all assignments.
std::string check_share(const DocumentedFigure& figure, const Claims& claims, const ExperimentRecord& experiment) {
  const std::int64_t assignments = total_assignments(experiment);
  if (assignments == 0) return {};
  for (const std::string name : {"dropped", "added", "padded", "duplicated"}) {
    if (figure.metric != name && figure.metric != name + "_share") continue;
    const auto count = claims.value(name), share = claims.value(name + "_share");
    if (!count || !share) return {};
    const double of_count = *count / static_cast<double>(assignments);
    if (!far_apart(of_count, *share)) return {};
    return fmt::format("its figures disagree: {} of {} assignments are {}, not {}", format_value(*count),
                       format_count(assignments), format_percent(of_count), format_percent(*share));
  }
  return {};
}

std::string check_waste(const DocumentedFigure& figure, const Claims& claims) {
  if (figure.metric != "wasted_flops" && figure.metric != "tile_utilisation") return {};
  const auto waste = claims.value("wasted_flops"), utilisation = claims.value("tile_utilisation");
  if (!waste || !utilisation || !far_apart(*waste, 1 - *utilisation)) return {};
  return fmt::format("its figures disagree: a utilisation of {} wastes {}, not {}", format_percent(*utilisation),
                     format_percent(1 - *utilisation), format_percent(*waste));
}

std::string check_speedup(const DocumentedFigure& figure, const Claims& claims) {
  if (figure.metric != "speedup" && figure.metric != "gemm_ms") return {};
  const auto before = claims.value("gemm_ms", claims.none()), after = claims.value("gemm_ms");
  const auto speedup = claims.value("speedup");
  if (!before || !after || !speedup || !(*after > 0)) return {};
  const double ratio = *before / *after;
  if (std::abs(ratio - *speedup) <= 0.02 * *speedup) return {};
  return fmt::format("its figures disagree: {} ms / {} ms is {:.2f}×, not {:.2f}×", format_value(*before),
                     format_value(*after), ratio, *speedup);
}

/// Rounding up fills exactly the empty rows, so the rows added follow from the utilisation before.
std::string check_fill(const DocumentedFigure& figure, const Claims& claims) {
  const StrategyConfig* strategy = claims.strategy(figure.strategy);
  if (figure.metric != "added_share" || strategy == nullptr || strategy->kind != StrategyKind::kUp) return {};
  if (strategy->fill.value_or(Fill::kNextBest) != Fill::kNextBest) return {};
  const auto before = claims.value("tile_utilisation", claims.none());
  if (!before || !(*before > 0)) return {};
  const double needed = (1 - *before) / *before;
  if (!far_apart(needed, figure.value)) return {};
  return fmt::format("its figures disagree: filling tiles that are {} used adds {} of the assignments, not {}",
                     format_percent(*before), format_percent(needed), format_percent(figure.value));
}

/// Remainders spread evenly over 0 … M-1 leave (M-1)/2 rows of each expert's last tile empty.
double mean_remainder(double tile) { return (tile - 1) / 2; }

std::string explain_utilisation(double documented, double load, double tile) {
  const double empty = mean_remainder(tile);
  std::string why = fmt::format("a mean load of {} at tile {} leaves about {} empty rows an expert: {}",
                                format_value(load), tile, format_value(empty), format_percent(load / (load + empty)));
  if (documented > 0 && documented < 1) {
    why += fmt::format("; {} would need a mean load near {}", format_percent(documented),
                       format_value(empty * documented / (1 - documented)));
  }
  return why;
}

std::string explain_remainder(const std::string& verb, double documented, double load, double tile) {
  const double rows = mean_remainder(tile);
  std::string why = fmt::format("{} moves about {} rows of a mean load of {}: {}", verb, format_value(rows),
                                format_value(load), format_percent(rows / load));
  if (documented > 0) {
    why +=
        fmt::format("; {} would need a mean load near {}", format_percent(documented), format_value(rows / documented));
  }
  return why;
}

std::string explain_ratio(double documented, double measured) {
  if (!(documented > 0) || !(measured > 0)) return "ours is measured on this routing";
  return fmt::format("ours is {} times the documented figure, on this routing", format_value(measured / documented));
}

std::string explain_probability(const DocumentedFigure& figure, double measured, const ExperimentRecord& experiment) {
  const double even = 1.0 / static_cast<double>(experiment.routing.front().experts);
  return fmt::format("an even score over {} experts is {}: ours is {} times that, the documented one {} times",
                     experiment.routing.front().experts, format_value(even), format_value(measured / even),
                     format_value(figure.value / even));
}

const NetworkRecord* find_none(const NetworkRecord& network, const std::vector<NetworkRecord>& networks) {
  for (const NetworkRecord& other : networks) {
    if (other.kind == StrategyKind::kNone && other.tile == network.tile) return &other;
  }
  return nullptr;
}

}  // namespace

std::string find_contradiction(const DocumentedFigure& figure, const ExperimentRecord& experiment) {
  const Claims claims(figure, experiment);
  for (const std::string& found : {check_share(figure, claims, experiment), check_waste(figure, claims),
                                   check_speedup(figure, claims), check_fill(figure, claims)}) {
    if (!found.empty()) return found;
  }
  return {};
}

std::string explain_tiles(const NetworkRecord& network, const std::vector<NetworkRecord>& networks) {
  const NetworkRecord* none = find_none(network, networks);
  if (none == nullptr || network.own_tiles || network.metrics.tiles == 0) return {};
  if (none->metrics.tiles == network.metrics.tiles) return "; the number of tiles stays the same";
  return fmt::format("; {} tiles become {}: {:.2f}× by tiles alone", format_count(none->metrics.tiles),
                     format_count(network.metrics.tiles),
                     static_cast<double>(none->metrics.tiles) / static_cast<double>(network.metrics.tiles));
}

bool is_speedup(const std::string& metric) {
  return metric == "speedup" || metric == "forward_speedup" || metric == "backward_speedup";
}

std::string explain_rows(const std::string& metric, const NetworkRecord& network, const ExperimentRecord& experiment) {
  const NetworkRecord* none = find_none(network, experiment.network);
  const bool training = experiment.config.layer && experiment.config.layer->training;
  const bool by_tiles_alone = metric == "forward_speedup" || !training;
  if (by_tiles_alone || none == nullptr || network.own_tiles || network.layers.size() != 1) {
    return explain_tiles(network, experiment.network);
  }
  const bool both = metric == "speedup";
  const auto rows = [&](const NetworkRecord& of) {
    const RoundingMetrics& metrics = first_layer(experiment, of).metrics;
    return backward_rows(metrics) + (both ? forward_rows(metrics) : 0.0);
  };
  if (!(rows(network) > 0)) return {};
  return fmt::format("; whole tiles, and of weight gradients whole steps of {} rows, give {:.2f}× alone",
                     kReductionStep, rows(*none) / rows(network));
}

std::string explain_difference(const DocumentedFigure& figure, double measured, const NetworkRecord& network,
                               const ExperimentRecord& experiment) {
  const std::string& metric = figure.metric;
  const double load = mean_load(experiment);
  const double tile = static_cast<double>(network.metrics.tile);
  const bool loaded = load > 0 && tile > 0;
  const bool is_utilisation = metric == "tile_utilisation" || metric == "wasted_flops";
  if (is_utilisation && network.kind == StrategyKind::kNone && loaded) {
    return explain_utilisation(metric == "wasted_flops" ? 1 - figure.value : figure.value, load, tile);
  }
  if (is_utilisation && network.metrics.tile_utilisation == 1) {
    return fmt::format("{} leaves whole tiles only: 100% at any tile", network.label);
  }
  if ((metric == "dropped" || metric == "dropped_share") && network.kind == StrategyKind::kDown && loaded) {
    const double share =
        metric == "dropped_share" ? figure.value : figure.value / static_cast<double>(total_assignments(experiment));
    return explain_remainder("rounding down", share, load, tile);
  }
  if ((metric == "added" || metric == "added_share") && network.kind == StrategyKind::kUp && loaded) {
    const double share =
        metric == "added_share" ? figure.value : figure.value / static_cast<double>(total_assignments(experiment));
    return explain_remainder("rounding up", share, load, tile);
  }
  if (metric == "mean_dropped_probability" && !experiment.routing.empty() && measured > 0) {
    return explain_probability(figure, measured, experiment);
  }
  if (is_speedup(metric)) return explain_ratio(figure.value, measured) + explain_rows(metric, network, experiment);
  if (metric == "estimated_perplexity_change" && network.quality.post_hoc) {
    const PerplexityEstimate& ours = *network.quality.post_hoc;
    return fmt::format("we estimate {} to {}, if all layers were like this one", format_change(ours.low),
                       format_change(ours.high));
  }
  if (is_share_metric(metric)) {
    return fmt::format("ours is {:+.1f} points off, on this routing", (measured - figure.value) * 100);
  }
  return explain_ratio(figure.value, measured);
}

}  // namespace tatr
