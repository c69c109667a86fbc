// Totals and means over the layers, one record per strategy label and tile. Decides what adds up (counts, times) and
// what is averaged (shares, masses); one layer is a network of one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "records/records.hpp"

namespace tatr {

/// In order of first appearance, which is tile, then strategy as in the config.
/// Whether their estimates are of a network that the calibration was not fitted to: those of an experiment are alike.
bool is_ranking(const std::vector<NetworkRecord>& networks);

std::vector<NetworkRecord> summarise_network(const ExperimentRecord& experiment);

/// The tile that a record is set beside: its own, or the experiment's first for `dynamic`, which runs once; 0: none.
std::int64_t tile_group(const StrategyRecord& record, const ExperimentConfig& config);

/// Whether times of the two may be compared or added: both measured or both modelled, same back end, same shape.
bool same_shape(const LayerTiming& a, const LayerTiming& b);

/// Time of all GEMMs of the pass, added; absent where one has none.
std::optional<double> gemm_ms(const LayerTiming& timing);

/// Of one way of a training pass: its medians, added over the network's layers, and that of `none` at the same tile
/// over it, which has no interval. Absent unless every layer was timed.
std::optional<double> way_ms(const ExperimentRecord& experiment, const NetworkRecord& network,
                             TimingSeries LayerTiming::*way);
std::optional<double> way_speedup(const ExperimentRecord& experiment, const NetworkRecord& network,
                                  TimingSeries LayerTiming::*way);

/// Median of a series, or its modelled value; absent where it has neither.
std::optional<double> median_of(const TimingSeries& series);

}  // namespace tatr
