// Sets each figure that somebody published beside ours. Decides the verdict and words its reason from the records
// alone: mean load, tile, tiles before and after. No result is known in advance here.
#pragma once

#include <vector>

#include "records/records.hpp"

namespace tatr {

/// One record per figure of the config, in its order. `reproduced`: within 2 % of the value, or 0.005 for a share.
/// `inconsistent`: not reproduced, and figures of the same document contradict it. `not_measured`: unknown here, not
/// run, or a time of a reduced CPU layer. Several layers are compared by their totals and means.
std::vector<DocumentedRecord> compare_documented(const ExperimentRecord& experiment);

}  // namespace tatr
