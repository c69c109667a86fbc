// What follows from a layer's time alike where it is measured and where it is modelled.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "experiment/settings.hpp"
#include "records/records.hpp"

namespace tatr {

/// FLOPs a second of useful rows and of whole tiles' rows, over the timing's shape and times; of training also forward
/// and backward apart, where weight gradients multiply whole steps in place of whole tiles. None where a time is not
/// positive.
void add_rates(LayerTiming& timing, const RoundingMetrics& metrics);

/// The setting of `none` at the same tile, which the others' times are divided by.
std::optional<std::size_t> none_beside(const std::vector<Setting>& settings, std::size_t setting);

/// What an end-to-end time adds up, as results name it.
std::vector<std::string> end_to_end_counts(bool routes);

}  // namespace tatr
