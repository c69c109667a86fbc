#include "analysis/network.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "analysis/batches.hpp"
#include "analysis/gain.hpp"
#include "records/metric_catalogue.hpp"

namespace tatr {
namespace {

/// Metrics that layers can be added to.
RoundingMetrics no_layers(std::int64_t tile) {
  RoundingMetrics metrics;
  metrics.tile = tile;
  metrics.tile_utilisation = 0;
  metrics.mean_expert_utilisation = 0;
  return metrics;
}

NetworkRecord start_network(const StrategyRecord& record, std::int64_t tile) {
  NetworkRecord network;
  network.name = record.strategy.name;
  network.label = record.strategy.label;
  network.kind = record.strategy.kind;
  network.tile = tile;
  network.own_tiles = record.metrics.tile == 0;
  network.metrics = no_layers(record.metrics.tile);
  return network;
}

/// Adds `value` of one layer to a sum that a single missing layer makes absent.
void accumulate(std::optional<double>& sum, std::optional<double> value, bool first) {
  if (first) {
    sum = value;
  } else if (sum) {
    sum = value ? std::optional(*sum + *value) : std::nullopt;
  }
}

/// Means are sums until all layers are there.
void add_over_layers(const RoundingMetric& metric, const RoundingMetrics& layer, RoundingMetrics& all) {
  if (metric.over_layers == OverLayers::kMost) {
    all.*metric.count = std::max(all.*metric.count, layer.*metric.count);
  } else if (metric.is_count()) {
    all.*metric.count += layer.*metric.count;
  } else {
    all.*metric.real += layer.*metric.real;
  }
}

void add_over_layers(const RoundingMetrics& layer, RoundingMetrics& all) {
  all.known = std::min(all.known, layer.known);
  for (const RoundingMetric& metric : kRoundingMetrics) add_over_layers(metric, layer, all);
}

void finish_means(RoundingMetrics& all, std::size_t layers) {
  for (const RoundingMetric& metric : kRoundingMetrics) {
    if (metric.over_layers == OverLayers::kMean) all.*metric.real /= static_cast<double>(layers);
  }
}

void add_batches(NetworkRecord& network, const StrategyRecord& record, bool first) {
  if (first && record.batches) {
    network.batches.emplace();
    network.batches->groups.resize(record.batches->groups.size(), no_layers(record.metrics.tile));
  }
  if (!network.batches || !record.batches) return;
  BatchRecord& all = *network.batches;
  for (std::size_t g = 0; g < all.groups.size(); ++g) add_over_layers(record.batches->groups[g], all.groups[g]);
  all.tokens = record.batches->tokens;
  all.median_group = record.batches->median_group;
  all.worst_group = record.batches->worst_group;
  accumulate(all.worst_layer_ms, record.batches->worst_layer_ms, first);
}

void add_layer(NetworkRecord& network, const ExperimentRecord& experiment, std::size_t place) {
  const StrategyRecord& record = experiment.strategies[place];
  const bool first = network.layers.empty();
  add_over_layers(record.metrics, network.metrics);
  add_batches(network, record, first);
  network.lowest_utilisation = std::min(network.lowest_utilisation, record.metrics.tile_utilisation);
  const double lost = record.metrics.dropped_gate_mass;  // no number where it is not known
  network.highest_dropped_mass = lost <= network.highest_dropped_mass ? network.highest_dropped_mass : lost;
  // Times of different back ends or shapes do not add up to anything.
  const bool addable =
      record.timing && (first || (first_layer(experiment, network).timing &&
                                  same_shape(*first_layer(experiment, network).timing, *record.timing)));
  accumulate(network.layer_ms, addable ? median_of(record.timing->layer_ms) : std::nullopt, first);
  accumulate(network.gemm_ms, addable ? gemm_ms(*record.timing) : std::nullopt, first);
  if (record.timing) network.timing_kind = record.timing->kind;
  network.cpu_reduced = network.cpu_reduced || (record.timing && record.timing->cpu_reduced);
  network.layers.push_back(place);
}

/// `none` of each tile, where it was timed.
using Bases = std::map<std::int64_t, std::vector<const NetworkRecord*>>;

Bases bases_of(const std::vector<NetworkRecord>& networks) {
  Bases bases;
  for (const NetworkRecord& network : networks) {
    if (network.kind == StrategyKind::kNone && network.layer_ms) bases[network.tile].push_back(&network);
  }
  return bases;
}

void set_speedup(NetworkRecord& network, const Bases& bases, const ExperimentRecord& experiment) {
  if (!network.layer_ms || !(*network.layer_ms > 0)) return;
  const auto beside = bases.find(network.tile);
  if (beside == bases.end()) return;
  for (const NetworkRecord* base : beside->second) {
    if (!same_shape(*first_layer(experiment, *base).timing, *first_layer(experiment, network).timing)) continue;
    network.speedup = *base->layer_ms / *network.layer_ms;
    return;
  }
}

/// Over `none` at the tile where it is fastest, where it stands at several.
void set_speedups_over_fastest(std::vector<NetworkRecord>& networks, const ExperimentRecord& experiment) {
  std::vector<const NetworkRecord*> nones;
  for (const NetworkRecord& network : networks) {
    if (network.kind == StrategyKind::kNone && network.layer_ms && !network.cpu_reduced) nones.push_back(&network);
  }
  if (nones.size() < 2) return;
  const NetworkRecord* fastest =
      *std::min_element(nones.begin(), nones.end(),
                        [](const NetworkRecord* a, const NetworkRecord* b) { return *a->layer_ms < *b->layer_ms; });
  for (NetworkRecord& network : networks) {
    if (!network.layer_ms || !(*network.layer_ms > 0)) continue;
    if (!same_shape(*first_layer(experiment, *fastest).timing, *first_layer(experiment, network).timing)) continue;
    network.speedup_over_fastest = gain_over(experiment, *fastest, network);
  }
}

void set_quality(NetworkRecord& network, const ExperimentRecord& experiment) {
  std::vector<RoundingMetrics> means;  // of layers with several groups
  means.reserve(network.layers.size());
  std::vector<const RoundingMetrics*> layers;
  for (const std::size_t place : network.layers) {
    const StrategyRecord& record = experiment.strategies[place];
    layers.push_back(record.batches ? &means.emplace_back(mean_over(record.batches->groups)) : &record.metrics);
  }
  network.quality =
      estimate_quality(*experiment.calibration, experiment.config.router, first_layer(experiment, network).strategy,
                       network.tile, layers, experiment.trace_model);
}

}  // namespace

bool same_shape(const LayerTiming& a, const LayerTiming& b) {
  return a.kind == b.kind && a.training == b.training && a.backend == b.backend && a.cpu_reduced == b.cpu_reduced &&
         a.hidden == b.hidden && a.intermediate == b.intermediate;
}

std::int64_t tile_group(const StrategyRecord& record, const ExperimentConfig& config) {
  return record.metrics.tile != 0 || config.tiles.empty() ? record.metrics.tile : config.tiles.front();
}

std::optional<double> median_of(const TimingSeries& series) {
  if (series.modelled) return series.modelled->value;
  return series.samples.empty() ? std::nullopt : std::optional(series.median);
}

std::optional<double> gemm_ms(const LayerTiming& timing) {
  double sum = 0.0;
  for (const StageInfo& stage : kStages) {
    if (stage.gemm.empty() || (stage.backward && !timing.training)) continue;
    const std::optional<double> ms = median_of(timing.of(stage.stage));
    if (!ms) return std::nullopt;
    sum += *ms;
  }
  return sum;
}

std::optional<double> way_ms(const ExperimentRecord& experiment, const NetworkRecord& network,
                             TimingSeries LayerTiming::*way) {
  if (!network.layer_ms) return std::nullopt;
  double sum = 0.0;
  for (const std::size_t place : network.layers) {
    const std::optional<double> ms = median_of((*experiment.strategies[place].timing).*way);
    if (!ms) return std::nullopt;
    sum += *ms;
  }
  return sum;
}

std::optional<double> way_speedup(const ExperimentRecord& experiment, const NetworkRecord& network,
                                  TimingSeries LayerTiming::*way) {
  const std::optional<double> own = way_ms(experiment, network, way);
  for (const NetworkRecord& none : experiment.network) {
    if (none.kind != StrategyKind::kNone || none.tile != network.tile) continue;
    const std::optional<double> base = way_ms(experiment, none, way);
    if (base && own && *own > 0) return *base / *own;
  }
  return std::nullopt;
}

bool is_ranking(const std::vector<NetworkRecord>& networks) {
  return std::any_of(networks.begin(), networks.end(),
                     [](const NetworkRecord& network) { return network.quality.ranking; });
}

std::vector<NetworkRecord> summarise_network(const ExperimentRecord& experiment) {
  std::vector<NetworkRecord> networks;
  using Place = std::pair<std::string_view, std::int64_t>;  // label and tile
  std::map<Place, std::size_t> places;
  for (std::size_t place = 0; place < experiment.strategies.size(); ++place) {
    const StrategyRecord& record = experiment.strategies[place];
    const std::int64_t tile = tile_group(record, experiment.config);
    const auto [known, is_new] = places.emplace(Place(record.strategy.label, tile), networks.size());
    if (is_new) networks.push_back(start_network(record, tile));
    add_layer(networks[known->second], experiment, place);
  }
  for (NetworkRecord& network : networks) {
    finish_means(network.metrics, network.layers.size());
    if (!network.batches) continue;
    for (RoundingMetrics& group : network.batches->groups) finish_means(group, network.layers.size());
    network.batches->spread = spread_over(network.batches->groups);
  }
  const Bases bases = bases_of(networks);
  for (NetworkRecord& network : networks) {
    set_speedup(network, bases, experiment);
    if (experiment.calibration) set_quality(network, experiment);
  }
  set_speedups_over_fastest(networks, experiment);
  return networks;
}

}  // namespace tatr
