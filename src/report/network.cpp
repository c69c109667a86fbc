#include "report/network.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "report/metric_list.hpp"

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

void add_layer(NetworkRecord& network, const StrategyRecord& record) {
  const bool first = network.layers.empty();
  for (const CountMetric& metric : kCountMetrics) network.metrics.*metric.member += record.metrics.*metric.member;
  for (const MeanMetric& metric : kMeanMetrics) network.metrics.*metric.member += record.metrics.*metric.member;
  network.lowest_utilisation = std::min(network.lowest_utilisation, record.metrics.tile_utilisation);
  network.highest_dropped_mass = std::max(network.highest_dropped_mass, record.metrics.dropped_gate_mass);
  // Times of different back ends or shapes do not add up to anything.
  const bool addable =
      record.timing &&
      (first || (network.layers.front()->timing && same_shape(*network.layers.front()->timing, *record.timing)));
  accumulate(network.layer_ms, addable ? median_of(record.timing->layer_ms) : std::nullopt, first);
  accumulate(network.gemm_ms, addable ? gemm_ms(*record.timing) : std::nullopt, first);
  network.cpu_reduced = network.cpu_reduced || (record.timing && record.timing->cpu_reduced);
  network.layers.push_back(&record);
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

void set_speedup(NetworkRecord& network, const Bases& bases) {
  if (!network.layer_ms || !(*network.layer_ms > 0)) return;
  const auto beside = bases.find(network.tile);
  if (beside == bases.end()) return;
  for (const NetworkRecord* base : beside->second) {
    if (!same_shape(*base->layers.front()->timing, *network.layers.front()->timing)) continue;
    network.speedup = *base->layer_ms / *network.layer_ms;
    return;
  }
}

void set_quality(NetworkRecord& network, const Calibration& calibration, const RouterConfig& router) {
  std::vector<const RoundingMetrics*> layers;
  for (const StrategyRecord* record : network.layers) layers.push_back(&record->metrics);
  network.quality = estimate_quality(calibration, router, network.layers.front()->strategy, network.tile, layers);
}

}  // namespace

bool same_shape(const LayerTiming& a, const LayerTiming& b) {
  return a.backend == b.backend && a.cpu_reduced == b.cpu_reduced && a.hidden == b.hidden &&
         a.intermediate == b.intermediate;
}

std::int64_t tile_group(const StrategyRecord& record, const ExperimentConfig& config) {
  return record.metrics.tile != 0 || config.tiles.empty() ? record.metrics.tile : config.tiles.front();
}

std::optional<double> median_of(const TimingSeries& series) {
  return series.samples.empty() ? std::nullopt : std::optional(series.median);
}

std::optional<double> gemm_ms(const LayerTiming& timing) {
  if (timing.up_ms.samples.empty() || timing.down_ms.samples.empty()) return std::nullopt;
  return timing.up_ms.median + timing.down_ms.median;
}

std::vector<NetworkRecord> summarise_network(const ExperimentRecord& experiment) {
  std::vector<NetworkRecord> networks;
  using Place = std::pair<std::string_view, std::int64_t>;  // label and tile
  std::map<Place, std::size_t> places;
  for (const StrategyRecord& record : experiment.strategies) {
    const std::int64_t tile = tile_group(record, experiment.config);
    const auto [place, is_new] = places.emplace(Place(record.strategy.label, tile), networks.size());
    if (is_new) networks.push_back(start_network(record, tile));
    add_layer(networks[place->second], record);
  }
  for (NetworkRecord& network : networks) {
    for (const MeanMetric& metric : kMeanMetrics) {
      network.metrics.*metric.member /= static_cast<double>(network.layers.size());
    }
  }
  const Bases bases = bases_of(networks);
  for (NetworkRecord& network : networks) {
    set_speedup(network, bases);
    if (experiment.calibration) set_quality(network, *experiment.calibration, experiment.config.router);
  }
  return networks;
}

}  // namespace tatr
