#include "parallel/placement.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "core/integer_math.hpp"

namespace tatr {

namespace {

/// Longest first (Graham, 1969), with as many experts on each rank as an even spread has: ties to the lower expert and
/// rank.
std::vector<std::int32_t> place_by_load(std::int64_t ranks, const std::vector<std::int32_t>& counts) {
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return counts[a] > counts[b]; });
  const auto room = ceil_div(static_cast<std::int64_t>(counts.size()), ranks);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(ranks), 0), experts(static_cast<std::size_t>(ranks), 0);
  std::vector<std::int32_t> rank_of(counts.size());
  for (const std::size_t expert : order) {
    std::size_t best = rows.size();
    for (std::size_t rank = 0; rank < rows.size(); ++rank) {
      if (experts[rank] < room && (best == rows.size() || rows[rank] < rows[best])) best = rank;
    }
    rank_of[expert] = static_cast<std::int32_t>(best);
    rows[best] += counts[expert];
    ++experts[best];
  }
  return rank_of;
}

}  // namespace

std::vector<std::int32_t> place_experts(const ParallelConfig& parallel, const std::vector<std::int32_t>& counts) {
  if (parallel.placement == PlacementKind::kListed) return parallel.listed;
  if (parallel.placement == PlacementKind::kByLoad) return place_by_load(parallel.ranks, counts);
  const auto experts = static_cast<std::int64_t>(counts.size());
  std::vector<std::int32_t> rank_of;
  rank_of.reserve(counts.size());
  for (std::int64_t e = 0; e < experts; ++e) {
    const std::int64_t rank =
        parallel.placement == PlacementKind::kRoundRobin ? e % parallel.ranks : e * parallel.ranks / experts;
    rank_of.push_back(static_cast<std::int32_t>(rank));
  }
  return rank_of;
}

}  // namespace tatr
