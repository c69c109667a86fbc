#include <vector>

#include "core/integer_math.hpp"
#include "router/routing.hpp"

namespace tatr {

namespace {

/// Rows of `width` from `first` on; of an empty buffer, none.
template <class T>
Buffer<T> rows_of(System& system, const Buffer<T>& from, std::int64_t first, std::int64_t count, std::int64_t width) {
  if (from.size() == 0) return {};
  Buffer<T> part(system, static_cast<std::size_t>(count * width));
  system.copy(part.data(), from.data() + first * width, part.size() * sizeof(T));
  return part;
}

}  // namespace

Routing tokens_of(System& system, const Routing& routing, std::int64_t first, std::int64_t count) {
  Routing part;
  part.tokens = static_cast<std::int32_t>(count);
  part.experts = routing.experts;
  part.top_k = routing.top_k;
  part.scoring = routing.scoring;
  part.known = routing.known;
  part.chosen = rows_of(system, routing.chosen, first, count, routing.top_k);
  part.gates = rows_of(system, routing.gates, first, count, routing.top_k);
  part.scores = rows_of(system, routing.scores, first, count, routing.top_k);
  part.members = rows_of(system, routing.members, first, count, ceil_div(routing.experts, 32));
  part.logits = rows_of(system, routing.logits, first, count, routing.experts);
  part.bf16 = rows_of(system, routing.bf16, first, count, routing.experts);
  part.row_max = rows_of(system, routing.row_max, first, count, 1);
  part.row_inverse = rows_of(system, routing.row_inverse, first, count, 1);
  part.selection_bias =
      rows_of(system, routing.selection_bias, 0, 1, static_cast<std::int64_t>(routing.selection_bias.size()));
  std::vector<std::int32_t> counts(static_cast<std::size_t>(routing.experts), 0);
  for (const std::int32_t expert : part.chosen.to_host()) ++counts[static_cast<std::size_t>(expert)];
  part.counts = Buffer<std::int32_t>(system, counts);
  if (routing.tallies.size() > 0) {
    part.tallies = Buffer<std::uint64_t>(system, std::vector<std::uint64_t>(routing.tallies.size()));
  }
  return part;
}

}  // namespace tatr
