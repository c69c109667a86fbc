// Router logits drawn from a distribution. Decides what each kind of synthetic source draws; knows nothing of routing.
#pragma once

#include <cstdint>

#include "device/system.hpp"
#include "options/options.hpp"

namespace tatr {

/// Router logits [tokens, experts] of a synthetic source, made on the system. Throws std::logic_error for
/// a source of another kind.
Buffer<float> synthetic_logits(System& system, const SourceConfig& source, std::uint64_t seed, std::int64_t tokens,
                               std::int64_t experts);

}  // namespace tatr
