// Rounds as ranks do that have a part of the tokens each, and joins what they come to.
#pragma once

#include "options/parallel.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"

namespace tatr {

/// Throws ConfigError where the strategy or what is known of the routing does not go with ranks that round apart.
void check_rank_rounding(const ParallelConfig& parallel, const StrategyConfig& strategy, Known known);

/// What one rounding of all tokens would give, had each source rank rounded its own (kPerRank), or padded them
/// (kPerFragment); of kGlobal it is round_routing's. An expert's rows are those of rank 0, then of rank 1, and so on.
/// Draws of rank r have the seed + r.
Rounded round_on_ranks(const Routing& routing, const RoundingCase& one, const ParallelConfig& parallel, System& system);

}  // namespace tatr
