// Rounding where only the tokens of each expert are known: the same targets as with a routing, by strategies that look
// at nothing else; and a routing that has such counts, for layers that are to be computed.
#pragma once

#include <cstdint>
#include <vector>

#include "rounding/rounding.hpp"

namespace tatr {

/// Tokens T, choices of each K and tokens of each expert [E], each at most T and together at most T K.
struct ExpertCounts {
  std::int64_t tokens = 0, top_k = 0;
  const std::vector<std::int32_t>& counts;
};

/// What round_routing says of a routing with these counts, but for what tokens and gates decide; no dispatch. Throws
/// ConfigError where the strategy needs more than counts.
Rounded round_counts(const ExpertCounts& known, const RoundingCase& one);

/// A routing of T tokens to K experts each that has these counts, which sum up to T K: expert by expert, tokens are
/// taken in turns, in an order that `seed` shuffles. Its gates are 1 / K, and no figure of them means anything. Throws
/// std::logic_error where there is none.
Routing routing_with_counts(System& system, const ExpertCounts& known, const RouterConfig& config, std::uint64_t seed);

}  // namespace tatr
