// What a dispatch asks of each rank: tiles, rows, and what goes over the wire.
#pragma once

#include <cstdint>
#include <vector>

#include "options/parallel.hpp"

namespace tatr {

/// Of one rank. Sent: its tokens, to experts of other ranks; received: tokens of others, for its own experts. The way
/// back of what experts make of them is as much again.
struct RankLoad {
  std::int64_t experts = 0, tiles = 0, rows = 0;  // rows: padding included
  std::int64_t sent_rows = 0, received_rows = 0;
  std::int64_t sent_copies = 0, received_copies = 0;  // the same with one copy for each rank that needs a token
};

/// A dispatch on the host.
struct HostDispatch {
  std::vector<std::int32_t> offsets;  // [E+1]
  std::vector<std::int32_t> token;    // [R]; below 0: padding, which comes from nowhere
};

/// `rank_of` [E] as place_experts gives it, `tiles` [E] of each expert.
std::vector<RankLoad> rank_loads(const HostDispatch& dispatch, const std::vector<std::int32_t>& tiles,
                                 const std::vector<std::int32_t>& rank_of, std::int64_t tokens, std::int64_t ranks);

}  // namespace tatr
