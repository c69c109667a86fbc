// Stopwatches of real devices.
#pragma once

#include <memory>

#include "core/system.hpp"
#include "measure/sampler.hpp"

namespace tatr {

/// Host clock for the CPU; CUDA events on the system's stream for a GPU. The flush overwrites twice the last-level
/// cache (at most 64 MB on a CPU) with data that is not zero.
std::unique_ptr<Stopwatch> make_stopwatch(System& system);

}  // namespace tatr
