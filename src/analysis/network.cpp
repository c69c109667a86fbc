#include "analysis/network.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "records/metric_catalogue.hpp"

namespace tatr {
namespace {

NetworkRecord start_network(const StrategyRecord& record, std::int64_t tile) {
  NetworkRecord network;
  network.name = record.strategy.name;
  network.label = record.strategy.label;
  network.kind = record.strategy.kind;
  network.tile = tile;
  network.own_tiles = record.metrics.tile == 0;
  network.metrics.tile = record.metrics.tile;
  network.metrics.tile_utilisation = 0;
  network.metrics.mean_expert_utilisation = 0;
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

void add_layer(NetworkRecord& network, const ExperimentRecord& experiment, std::size_t place) {
  const StrategyRecord& record = experiment.strategies[place];
  const bool first = network.layers.empty();
  for (const RoundingMetric& metric : kRoundingMetrics) add_over_layers(metric, record.metrics, network.metrics);
  network.lowest_utilisation = std::min(network.lowest_utilisation, record.metrics.tile_utilisation);
  network.highest_dropped_mass = std::max(network.highest_dropped_mass, record.metrics.dropped_gate_mass);
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

void set_quality(NetworkRecord& network, const ExperimentRecord& experiment) {
  std::vector<const RoundingMetrics*> layers;
  for (const std::size_t place : network.layers) layers.push_back(&experiment.strategies[place].metrics);
  network.quality = estimate_quality(*experiment.calibration, experiment.config.router,
                                     first_layer(experiment, network).strategy, network.tile, layers);
}

}  // namespace

bool same_shape(const LayerTiming& a, const LayerTiming& b) {
  return a.kind == b.kind && a.backend == b.backend && a.cpu_reduced == b.cpu_reduced && a.hidden == b.hidden &&
         a.intermediate == b.intermediate;
}

std::int64_t tile_group(const StrategyRecord& record, const ExperimentConfig& config) {
  return record.metrics.tile != 0 || config.tiles.empty() ? record.metrics.tile : config.tiles.front();
}

std::optional<double> median_of(const TimingSeries& series) {
  if (series.modelled) return series.modelled->value;
  return series.samples.empty() ? std::nullopt : std::optional(series.median);
}

std::optional<double> gemm_ms(const LayerTiming& timing) {
  const std::optional<double> up = median_of(timing.of(Stage::kUp)), down = median_of(timing.of(Stage::kDown));
  return up && down ? std::optional(*up + *down) : std::nullopt;
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
    for (const RoundingMetric& metric : kRoundingMetrics) {
      if (metric.over_layers == OverLayers::kMean) {
        network.metrics.*metric.real /= static_cast<double>(network.layers.size());
      }
    }
  }
  const Bases bases = bases_of(networks);
  for (NetworkRecord& network : networks) {
    set_speedup(network, bases, experiment);
    if (experiment.calibration) set_quality(network, experiment);
  }
  return networks;
}

}  // namespace tatr
