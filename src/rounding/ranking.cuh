// The ranking of each expert's own tokens: by gate, high to low, ties to the lower token.
#pragma once

#include <thrust/fill.h>
#include <thrust/scan.h>

#include <algorithm>

#include "core/thrust_policy.cuh"
#include "rounding/rank_key.hpp"
#include "router/routing.hpp"

namespace tatr {

struct OwnRanking {
  Buffer<std::uint64_t> keys;    // [T*K] ascending
  Buffer<std::int32_t> offsets;  // [E+1] of each expert's first key
};

/// offsets[e] = sum of counts before e; offsets[count] = their total.
template <class Policy>
void offsets_from_counts(const Policy& policy, const std::int32_t* counts, std::int64_t count, std::int32_t* offsets) {
  thrust::fill_n(policy, offsets, 1, 0);
  thrust::inclusive_scan(policy, counts, counts + count, offsets + 1);
}

/// Deals a token's keys to its experts, in any order.
struct DealKeysOfToken {
  const std::int32_t* chosen;
  const float* gates;
  std::int32_t top_k;
  const std::int32_t* offsets;
  std::int32_t* cursor;  // [E] zero before
  std::uint64_t* keys;
  TATR_HD void operator()(std::int64_t token) const {
    for (std::int64_t i = token * top_k; i < (token + 1) * top_k; ++i) {
      const std::int32_t expert = chosen[i];
      keys[offsets[expert] + atomic_add(&cursor[expert], 1)] = rank_key(expert, rank_place(gates[i], token));
    }
  }
};

struct SortOwnKeys {
  const std::int32_t* offsets;
  std::uint64_t* keys;
  void operator()(std::int64_t expert) const { std::sort(keys + offsets[expert], keys + offsets[expert + 1]); }
};

/// On the CPU. `cursor` [E] is scratch.
template <class Policy>
void rank_own_tokens(const Policy& policy, const Routing& routing, std::int32_t* cursor, OwnRanking& own) {
  offsets_from_counts(policy, routing.counts.data(), routing.experts, own.offsets.data());
  thrust::fill_n(policy, cursor, routing.experts, 0);
  for_each_index(policy, routing.tokens,
                 DealKeysOfToken{routing.chosen.data(), routing.gates.data(), routing.top_k, own.offsets.data(), cursor,
                                 own.keys.data()});
  for_each_index(policy, routing.experts, SortOwnKeys{own.offsets.data(), own.keys.data()});
}

}  // namespace tatr
