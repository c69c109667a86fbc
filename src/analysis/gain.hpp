// How many times as fast one strategy's layers are as another's, at any two tiles, with its interval: of pairs of
// samples of one round where times are measured, of the model's error where they are modelled.
#pragma once

#include <cstddef>
#include <vector>

#include "core/statistics.hpp"
#include "records/records.hpp"

namespace tatr {

enum class Rounding { kLeftOut, kIncluded };

/// Time of `base` over that of `network`; both have times of all layers. Layers of measured times are added sample by
/// sample; where samples are missing, or none is stored, low and high are the value.
Interval gain_over(const ExperimentRecord& experiment, const NetworkRecord& base, const NetworkRecord& network,
                   Rounding rounding = Rounding::kLeftOut);

/// Milliseconds of all layers, and with their rounding where that is asked for; medians, or modelled.
double milliseconds_of(const ExperimentRecord& experiment, const NetworkRecord& network, Rounding rounding);

/// Sample i of every layer, added: drift within a layer's rounds still hits all strategies alike.
std::vector<double> summed_samples(const ExperimentRecord& experiment, const NetworkRecord& network, std::size_t count,
                                   Rounding rounding = Rounding::kLeftOut);
std::size_t fewest_samples(const ExperimentRecord& experiment, const NetworkRecord& network,
                           Rounding rounding = Rounding::kLeftOut);

}  // namespace tatr
