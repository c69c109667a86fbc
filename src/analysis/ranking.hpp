// Does the table of layer times rank strategies that its samples cannot tell apart? Decides from paired samples alone;
// of modelled times, from the model's error of ratios.
#pragma once

#include <string>
#include <vector>

#include "records/records.hpp"

namespace tatr {

/// One warning a tile, naming neighbours in the order of layer times whose paired ratio's 95 % interval holds 1.
/// Several layers are judged by their sums, sample by sample. Times of different back ends or shapes are not ranked.
std::vector<std::string> ranking_warnings(const ExperimentRecord& experiment);

}  // namespace tatr
