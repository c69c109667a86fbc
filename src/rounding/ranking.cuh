// The ranking of each expert's own tokens: by gate, high to low, ties to the lower token.
#pragma once

#include <thrust/scan.h>
#include <thrust/sort.h>

#include "core/thrust_policy.cuh"
#include "rounding/rank_key.hpp"
#include "router/routing.hpp"

namespace tatr {

struct OwnRanking {
  Buffer<std::uint64_t> keys;    // [T*K] ascending
  Buffer<std::int32_t> offsets;  // [E+1] of each expert's first key
};

struct MakeOwnKey {
  const std::int32_t* chosen;
  const float* gates;
  std::int32_t top_k;
  std::uint64_t* keys;
  TATR_HD void operator()(std::int64_t assignment) const {
    keys[assignment] = rank_key(chosen[assignment], rank_place(gates[assignment], assignment / top_k));
  }
};

/// offsets[e] = sum of counts before e; offsets[count] = their total.
template <class Policy>
void offsets_from_counts(const Policy& policy, const std::int32_t* counts, std::int64_t count, std::int32_t* offsets) {
  thrust::fill_n(policy, offsets, 1, 0);
  thrust::inclusive_scan(policy, counts, counts + count, offsets + 1);
}

template <class Policy>
OwnRanking rank_own_tokens(const Policy& policy, System& system, const Routing& routing) {
  const std::size_t assignments = routing.chosen.size();
  OwnRanking own{Buffer<std::uint64_t>(system, assignments),
                 Buffer<std::int32_t>(system, static_cast<std::size_t>(routing.experts) + 1)};
  for_each_index(policy, static_cast<std::int64_t>(assignments),
                 MakeOwnKey{routing.chosen.data(), routing.gates.data(), routing.top_k, own.keys.data()});
  thrust::sort(policy, own.keys.data(), own.keys.data() + assignments);
  offsets_from_counts(policy, routing.counts.data(), routing.experts, own.offsets.data());
  return own;
}

}  // namespace tatr
