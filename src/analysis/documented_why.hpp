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

/// Why ours and theirs may differ, in one line.
std::string explain_difference(const DocumentedFigure& figure, double measured, const NetworkRecord& network,
                               const ExperimentRecord& experiment);

/// "; 1,280 tiles become 1,024: at most 1.25×", or nothing where there is no `none` to compare with.
std::string explain_tiles(const NetworkRecord& network, const std::vector<NetworkRecord>& networks);

/// Whether a metric is a ratio of the layer's times, or of one way of its training pass.
bool is_speedup(const std::string& metric);

/// The same of such a ratio: of a training pass by whole steps, too, where weight gradients have part in it.
std::string explain_rows(const std::string& metric, const NetworkRecord& network, const ExperimentRecord& experiment);

}  // namespace tatr
