// About how long a CPU takes for the layers of a run, told before it begins. Decides from shapes and a short probe of
// the machine as it is then; a GPU's runs take seconds, and nothing is said of them. What routing and rounding take is
// little beside a layer, and left out.
#pragma once

#include <vector>

#include "device/system.hpp"
#include "experiment/modelled_gpu.hpp"
#include "options/options.hpp"

namespace tatr {

/// Floating-point operations of all passes of the experiment's layer that a CPU runs: to verify outputs, to compare
/// them, and, unless a GPU is modelled, to time them with the most samples there may be.
double estimate_layer_flops(const ExperimentConfig& config, bool modelled);

/// Operations a second of one expert's up-projection, as the CPU runs it now. Takes a fraction of a second.
double probe_layer_rate(System& cpu, const ExperimentConfig& config);

/// Seconds of each experiment; 0 where there is no layer, or too little of it for a probe to be worth while. Each shape
/// of a layer is probed once.
std::vector<double> estimate_seconds(const std::vector<ExperimentConfig>& configs, System& cpu,
                                     const ModelChoice& choice);

/// Whether a CPU computes the layer as a GPU would: the config names no smaller one for it.
bool computes_whole_layer(const ExperimentConfig& config);

}  // namespace tatr
