#include "parallel/rank_loads.hpp"

#include <cstddef>

#include "parallel/placement.hpp"

namespace tatr {

namespace {

std::vector<std::int32_t> rank_of_tokens(std::int64_t tokens, std::int64_t ranks) {
  std::vector<std::int32_t> rank_of(static_cast<std::size_t>(tokens));
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const std::int64_t last = first_token_of(rank + 1, tokens, ranks);
    for (std::int64_t token = first_token_of(rank, tokens, ranks); token < last; ++token)
      rank_of[static_cast<std::size_t>(token)] = static_cast<std::int32_t>(rank);
  }
  return rank_of;
}

}  // namespace

std::vector<RankLoad> rank_loads(const HostDispatch& dispatch, const std::vector<std::int32_t>& tiles,
                                 const std::vector<std::int32_t>& rank_of, std::int64_t tokens, std::int64_t ranks) {
  std::vector<RankLoad> loads(static_cast<std::size_t>(ranks));
  const std::vector<std::int32_t> source_of = rank_of_tokens(tokens, ranks);
  // The last rank, of those that are gone through one by one, which a token was seen to be sent to.
  std::vector<std::int32_t> seen(static_cast<std::size_t>(tokens), -1);
  for (std::int32_t rank = 0; rank < static_cast<std::int32_t>(ranks); ++rank) {
    RankLoad& own = loads[static_cast<std::size_t>(rank)];
    for (std::size_t expert = 0; expert < rank_of.size(); ++expert) {
      if (rank_of[expert] != rank) continue;
      ++own.experts;
      own.tiles += tiles[expert];
      own.rows += dispatch.offsets[expert + 1] - dispatch.offsets[expert];
      for (std::int32_t row = dispatch.offsets[expert]; row < dispatch.offsets[expert + 1]; ++row) {
        const std::int32_t token = dispatch.token[static_cast<std::size_t>(row)];
        if (token < 0) continue;
        const std::int32_t source = source_of[static_cast<std::size_t>(token)];
        if (source == rank) continue;
        RankLoad& sender = loads[static_cast<std::size_t>(source)];
        ++own.received_rows;
        ++sender.sent_rows;
        std::int32_t& last = seen[static_cast<std::size_t>(token)];
        if (last == rank) continue;
        last = rank;
        ++own.received_copies;
        ++sender.sent_copies;
      }
    }
  }
  return loads;
}

}  // namespace tatr
