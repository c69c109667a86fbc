// Stopwatches of real devices.
#pragma once

#include <memory>

#include "core/system.hpp"
#include "measure/sampler.hpp"

namespace tatr {

/// Bytes of the system's memory that its stopwatch takes, for the flush.
std::size_t stopwatch_bytes(const System& system);

/// Host clock for the CPU; CUDA events on the system's stream for a GPU. The flush overwrites twice the last-level
/// cache (at most 64 MB on a CPU) with data that is not zero.
std::unique_ptr<Stopwatch> make_stopwatch(System& system);

}  // namespace tatr
