// Which rank has which tokens and experts.
#pragma once

#include <cstdint>
#include <vector>

#include "options/parallel.hpp"

namespace tatr {

/// Tokens lie on ranks in contiguous blocks, as equal as can be: rank r has those from here on, up to where the next
/// rank's begin. r from 0 to ranks.
inline std::int64_t first_token_of(std::int64_t rank, std::int64_t tokens, std::int64_t ranks) {
  return rank * tokens / ranks;
}

/// Rank of each expert [E], whose tokens are `counts` [E].
std::vector<std::int32_t> place_experts(const ParallelConfig& parallel, const std::vector<std::int32_t>& counts);

}  // namespace tatr
