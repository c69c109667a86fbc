// What trained routers came to over the weights of their rounding loss, where a run has several.
#pragma once

#include <vector>

#include "records/records.hpp"

namespace tatr {

/// In the order of the run; of one weight alone there is none.
std::vector<TrainingRecord> training_effects(const std::vector<ExperimentRecord>& experiments);

}  // namespace tatr
