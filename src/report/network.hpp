// Totals and means over the layers, one record per strategy label and tile. Decides what adds up (counts, times) and
// what is averaged (shares, masses); one layer is a network of one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/records.hpp"

namespace tatr {

struct NetworkRecord {
  std::string name, label;
  StrategyKind kind = StrategyKind::kNone;
  std::int64_t tile = 0;    // the experiment's tile that the strategy stands beside; 0: none is known
  bool own_tiles = false;   // each expert has its own tile (dynamic)
  RoundingMetrics metrics;  // counts are sums, all else are means; no lists by expert
  QualityEstimate quality;  // of a network of these layers
  double lowest_utilisation = 1.0, highest_dropped_mass = 0.0;  // of any layer
  bool cpu_reduced = false;                                     // any layer was timed on a reduced CPU shape
  std::optional<double> layer_ms, gemm_ms;                      // sums of medians; absent unless every layer was timed
  std::optional<double> speedup;              // `none` at the same tile: its layer_ms sum over this one's (no interval)
  std::vector<const StrategyRecord*> layers;  // into the experiment, which must outlive this
};

/// In order of first appearance, which is tile, then strategy as in the config.
std::vector<NetworkRecord> summarise_network(const ExperimentRecord& experiment);

/// The tile that a record is set beside: its own, or the experiment's first for `dynamic`, which runs once; 0: none.
std::int64_t tile_group(const StrategyRecord& record, const ExperimentConfig& config);

/// Whether times of the two may be compared or added: same back end, same shape.
bool same_shape(const LayerTiming& a, const LayerTiming& b);

/// Time of both GEMMs, medians of `up` and `down` added; absent where either was not measured.
std::optional<double> gemm_ms(const LayerTiming& timing);

/// Median of a series; absent where nothing was sampled.
std::optional<double> median_of(const TimingSeries& series);

}  // namespace tatr
