// The ranking of each expert's own tokens: by gate, high to low, ties to the lower token.
#pragma once

#include <thrust/fill.h>
#include <thrust/scan.h>

#include <algorithm>
#include <utility>

#include "core/integer_math.hpp"
#include "device/thrust_policy.cuh"
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

/// The CPU deals in chunks of tokens, so that an expert's keys stand in token order.
struct DealChunks {
  const std::int32_t* chosen;
  const float* gates;
  std::int64_t tokens, chunk_tokens;
  std::int32_t experts, top_k;
  std::int32_t* cursors;  // [chunks, E]

  std::int64_t first(std::int64_t chunk) const { return std::min(chunk * chunk_tokens, tokens) * top_k; }
};

/// cursors = how many keys of each expert a chunk has.
struct CountChunk : DealChunks {
  void operator()(std::int64_t chunk) const {
    std::int32_t* const own = cursors + chunk * experts;
    std::fill_n(own, experts, 0);
    for (std::int64_t i = first(chunk); i < first(chunk + 1); ++i) ++own[chosen[i]];
  }
};

/// Writes a chunk's keys from its cursors on.
struct DealChunk : DealChunks {
  std::uint64_t* keys;
  void operator()(std::int64_t chunk) const {
    std::int32_t* const own = cursors + chunk * experts;
    for (std::int64_t i = first(chunk); i < first(chunk + 1); ++i) {
      keys[own[chosen[i]]++] = rank_key(chosen[i], rank_place(gates[i], i / top_k));
    }
  }
};

/// Sorts an expert's keys, which stand in token order: stably by score, eight bits at a time, lowest first.
struct SortOwnKeys {
  const std::int32_t* offsets;
  std::uint64_t *keys, *spare;

  static constexpr int kDigitBits = 8, kDigits = (kScoreBits + kDigitBits - 1) / kDigitBits;
  static constexpr std::int64_t kFew = 64;  // where comparing is quicker

  static std::uint32_t digit(std::uint64_t key, int which) {
    return static_cast<std::uint32_t>(key >> (kTokenBits + which * kDigitBits)) & ((1u << kDigitBits) - 1);
  }

  void operator()(std::int64_t expert) const {
    std::uint64_t* const own = keys + offsets[expert];
    const std::int64_t count = offsets[expert + 1] - offsets[expert];
    if (count < kFew) {
      std::sort(own, own + count);
      return;
    }
    std::int32_t places[kDigits][1 << kDigitBits] = {};
    for (std::int64_t i = 0; i < count; ++i) {
      for (int d = 0; d < kDigits; ++d) ++places[d][digit(own[i], d)];
    }
    std::uint64_t *from = own, *to = spare + offsets[expert];
    for (int d = 0; d < kDigits; ++d) {
      if (places[d][digit(from[0], d)] == count) continue;  // all have the same
      std::int32_t before = 0;
      for (std::int32_t& place : places[d]) before += std::exchange(place, before);
      for (std::int64_t i = 0; i < count; ++i) to[places[d][digit(from[i], d)]++] = from[i];
      std::swap(from, to);
    }
    if (from != own) std::copy_n(from, count, own);
  }
};

/// What ranking on the CPU writes on the way.
struct RankingScratch {
  std::int64_t chunks;    // of tokens, dealt side by side
  std::int32_t* cursors;  // [chunks, E]
  std::uint64_t* spare;   // as many keys as there are to rank
};

/// On the CPU.
template <class Policy>
void rank_own_tokens(const Policy& policy, const Routing& routing, const RankingScratch& scratch, OwnRanking& own) {
  const auto [chunks, cursors, spare] = scratch;
  const std::int32_t experts = routing.experts;
  std::int32_t* const offsets = own.offsets.data();
  const DealChunks deal{routing.chosen.data(),
                        routing.gates.data(),
                        routing.tokens,
                        ceil_div<std::int64_t>(routing.tokens, chunks),
                        experts,
                        routing.top_k,
                        cursors};
  offsets_from_counts(policy, routing.counts.data(), experts, offsets);
  for_each_index(policy, chunks, CountChunk{deal});
  for (std::int32_t e = 0; e < experts; ++e) {
    std::int32_t before = offsets[e];
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) before += std::exchange(cursors[chunk * experts + e], before);
  }
  for_each_index(policy, chunks, DealChunk{deal, own.keys.data()});
  for_each_index(policy, experts, SortOwnKeys{offsets, own.keys.data(), spare});
}

}  // namespace tatr
