// What a run will take, said on stderr before it begins, where that is long.
#pragma once

#include <string>
#include <vector>

#include "device/system.hpp"
#include "experiment/modelled_gpu.hpp"
#include "options/options.hpp"

namespace tatr {

/// A layer of about a hundredth of the work, in the multiples that a config allows: what /layer/cpu takes.
std::string smaller_layer(const LayerConfig& layer);

/// Lines to print before experiments run on a system: about how long, where that is over a minute; and how to have it
/// quicker, where a CPU computes a whole layer for as long. Nothing for a GPU.
std::string forecast(const std::vector<ExperimentConfig>& configs, System& system, const ModelChoice& choice);

}  // namespace tatr
