// Stopwatches of real devices.
#pragma once

#include <memory>

#include "device/system.hpp"
#include "measure/sampler.hpp"

namespace tatr {

/// Host clock for the CPU; CUDA events on the system's stream for a GPU. Caches are flushed as
/// device/cache_flush.hpp says.
std::unique_ptr<Stopwatch> make_stopwatch(System& system);

}  // namespace tatr
