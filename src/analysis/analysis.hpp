// What follows from records, worked out once between measuring and printing.
#pragma once

#include "records/records.hpp"

namespace tatr {

/// Fills the record's `network` and `documented` and adds warnings of times that are not ranked.
void analyse(ExperimentRecord& record);

/// Fills what follows from all experiments of a run together: `training`.
void analyse(RunRecord& run);

}  // namespace tatr
