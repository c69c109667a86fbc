#include "analysis/worth.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "analysis/gain.hpp"
#include "analysis/network.hpp"
#include "model/tile_cost.hpp"
#include "records/metric_catalogue.hpp"

namespace tatr {
namespace {

const NetworkRecord* base_of(const ExperimentRecord& experiment, const NetworkRecord& network) {
  const auto base = std::find_if(experiment.network.begin(), experiment.network.end(), [&](const NetworkRecord& one) {
    return one.kind == StrategyKind::kNone && one.tile == network.tile;
  });
  return base == experiment.network.end() ? nullptr : &*base;
}

double sum_over_layers(const ExperimentRecord& experiment, const NetworkRecord& network,
                       double (*rows)(const RoundingMetrics&)) {
  double sum = 0;
  for (const std::size_t place : network.layers) sum += rows(experiment.strategies[place].metrics);
  return sum;
}

/// What strategies at different tiles are compared by; less is better.
double cost_of(const ExperimentRecord& experiment, const NetworkRecord& network, GainKind kind) {
  return kind == GainKind::kTiles ? rows_of_pass(experiment, network)
                                  : network.layer_ms.value_or(std::numeric_limits<double>::infinity());
}

Estimates reach_of(const NetworkRecord& network) {
  if (!network.quality.post_hoc) return Estimates::kNone;
  return network.quality.beyond.empty() ? Estimates::kCovered : Estimates::kBeyond;
}

/// One that reaches as far as asked.
const PerplexityEstimate* estimate_of(const NetworkRecord& network, Estimates reach) {
  return reach != Estimates::kNone && reach_of(network) >= reach ? &*network.quality.post_hoc : nullptr;
}

/// What it harms quality by, as far as that is known: less is better.
double harm_of(const NetworkRecord& network, Estimates reach) {
  if (reach == Estimates::kNone) return mean_of(network, "dropped_share");
  const PerplexityEstimate* estimate = estimate_of(network, reach);
  return estimate != nullptr ? estimate->value : std::numeric_limits<double>::infinity();
}

bool is_timed_on_gpu(const ExperimentRecord& experiment, const Environment& environment) {
  return environment.device != "cpu" &&
         std::any_of(experiment.network.begin(), experiment.network.end(), [](const NetworkRecord& network) {
           return network.layer_ms && network.timing_kind == TimingKind::kMeasured;
         });
}

}  // namespace

GainKind gain_kind(const ExperimentRecord& experiment, const Environment& environment) {
  const bool modelled = std::any_of(
      experiment.network.begin(), experiment.network.end(),
      [](const NetworkRecord& network) { return network.layer_ms && network.timing_kind == TimingKind::kModelled; });
  if (modelled) return GainKind::kModelled;
  return is_timed_on_gpu(experiment, environment) ? GainKind::kMeasured : GainKind::kTiles;
}

bool trains(const ExperimentRecord& experiment) { return experiment.config.layer && experiment.config.layer->training; }

double rows_of_pass(const ExperimentRecord& experiment, const NetworkRecord& network) {
  if (trains(experiment)) return sum_over_layers(experiment, network, both_rows);
  if (network.batches && !network.own_tiles) {
    return mean_of(network, "tiles") * static_cast<double>(network.metrics.tile);
  }
  return sum_over_layers(experiment, network, tile_rows);
}

std::optional<double> row_ratio(const ExperimentRecord& experiment, const NetworkRecord& network,
                                double (*rows)(const RoundingMetrics&)) {
  const NetworkRecord* base = base_of(experiment, network);
  const double after = sum_over_layers(experiment, network, rows);
  if (base == nullptr || !(after > 0)) return std::nullopt;
  return sum_over_layers(experiment, *base, rows) / after;
}

std::optional<Interval> gain_of(const ExperimentRecord& experiment, const NetworkRecord& network, GainKind kind) {
  if (kind != GainKind::kTiles) {
    if (network.layers.size() == 1) {
      const auto& timing = first_layer(experiment, network).timing;
      return timing ? timing->speedup : std::nullopt;
    }
    if (!network.speedup) return std::nullopt;
    return Interval{*network.speedup, *network.speedup, *network.speedup};
  }
  const NetworkRecord* base = base_of(experiment, network);
  const double rows = rows_of_pass(experiment, network);
  if (base == nullptr || !(rows > 0)) return std::nullopt;
  const double ratio = rows_of_pass(experiment, *base) / rows;
  return Interval{ratio, ratio, ratio};
}

bool has_several_tiles(const ExperimentRecord& experiment) {
  return std::count_if(experiment.network.begin(), experiment.network.end(),
                       [](const NetworkRecord& network) { return network.kind == StrategyKind::kNone; }) > 1;
}

const NetworkRecord* cheapest_none(const ExperimentRecord& experiment, GainKind kind) {
  const NetworkRecord* cheapest = nullptr;
  for (const NetworkRecord& network : experiment.network) {
    if (network.kind != StrategyKind::kNone || (kind != GainKind::kTiles && !network.layer_ms)) continue;
    if (cheapest == nullptr || cost_of(experiment, network, kind) < cost_of(experiment, *cheapest, kind)) {
      cheapest = &network;
    }
  }
  return cheapest;
}

std::optional<Interval> gain_over_cheapest(const ExperimentRecord& experiment, const NetworkRecord& network,
                                           GainKind kind) {
  if (!has_several_tiles(experiment)) return gain_of(experiment, network, kind);
  const NetworkRecord* base = cheapest_none(experiment, kind);
  if (base == nullptr) return std::nullopt;
  if (kind == GainKind::kTiles) {
    const double rows = rows_of_pass(experiment, network);
    if (!(rows > 0)) return std::nullopt;
    const double ratio = rows_of_pass(experiment, *base) / rows;
    return Interval{ratio, ratio, ratio};
  }
  const auto& own = first_layer(experiment, network).timing;
  if (!network.layer_ms || !own || !same_shape(*first_layer(experiment, *base).timing, *own)) return std::nullopt;
  return gain_over(experiment, *base, network);
}

Worth worth_of(const ExperimentRecord& experiment, const Environment& environment) {
  Worth worth;
  worth.kind = gain_kind(experiment, environment);
  worth.base = cheapest_none(experiment, worth.kind);
  std::vector<const NetworkRecord*> faster;
  for (const NetworkRecord& network : experiment.network) {
    worth.has_base = worth.has_base || network.kind == StrategyKind::kNone;
    const std::optional<Interval> gain = gain_over_cheapest(experiment, network, worth.kind);
    if (network.kind == StrategyKind::kNone || !gain || gain->low <= 1) continue;
    faster.push_back(&network);
    worth.estimates = std::max(worth.estimates, reach_of(network));
  }
  const auto cost = [&](const NetworkRecord* network) { return cost_of(experiment, *network, worth.kind); };
  for (const NetworkRecord* network : faster) {
    if (worth.fastest == nullptr || cost(network) < cost(worth.fastest)) worth.fastest = network;
    const PerplexityEstimate* estimate = estimate_of(*network, worth.estimates);
    const bool keeps = estimate != nullptr && estimate->high <= kPerplexityLimit;
    if (keeps && (worth.within == nullptr || cost(network) < cost(worth.within))) worth.within = network;
    const auto harm = [&](const NetworkRecord* one) { return harm_of(*one, worth.estimates); };
    if (worth.gentlest == nullptr || harm(network) < harm(worth.gentlest)) worth.gentlest = network;
  }
  return worth;
}

}  // namespace tatr
