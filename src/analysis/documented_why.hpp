// The reasons behind a verdict: arithmetic on the documented figures themselves (do they agree with each other?) and
// on the measured load (what would a figure need?). Every number is computed from the records.
#pragma once

#include <string>
#include <vector>

#include "analysis/network.hpp"
#include "records/records.hpp"

namespace tatr {

/// What other figures of the same document, at the same tile, contradict this one; empty: none. The document is what
/// stands before the first comma of a source; the section may follow.
std::string find_contradiction(const DocumentedFigure& figure, const ExperimentRecord& experiment);

/// Why ours and theirs may differ, in one line. `networks` are all of the experiment's.
std::string explain_difference(const DocumentedFigure& figure, double measured, const NetworkRecord& network,
                               const std::vector<NetworkRecord>& networks, const ExperimentRecord& experiment);

/// "; 1,280 tiles become 1,024: at most 1.25×", or nothing where there is no `none` to compare with.
std::string explain_tiles(const NetworkRecord& network, const std::vector<NetworkRecord>& networks);

}  // namespace tatr
