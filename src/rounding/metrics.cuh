// What rounding did to tokens, as sums that do not depend on threads or device.
#pragma once

#include "device/thrust_policy.cuh"
#include "rounding/dispatch.cuh"
#include "rounding/expert_metrics.hpp"
#include "rounding/rounding.hpp"
#include "rounding/row_owner.hpp"
#include "rounding/targets.cuh"

namespace tatr {

/// Sums over tokens. Doubles are added in token order within a chunk and then in chunk order, whatever runs the chunks.
struct TokenSums {
  double mass = 0, square = 0, cube = 0, probability = 0;
  std::int64_t dropped = 0, without_expert = 0, most_experts = 0;
  TATR_HD void add(const TokenSums& other) {
    mass += other.mass;
    square += other.square;
    cube += other.cube;
    probability += other.probability;
    dropped += other.dropped;
    without_expert += other.without_expert;
    if (most_experts < other.most_experts) most_experts = other.most_experts;
  }
};

/// rank_of[a] = place of assignment a (token, slot) among its expert's own tokens. The key names an expert that the
/// token chose, so the last slot needs no look.
struct RankOfAssignment {
  const std::uint64_t* own_keys;
  const std::int32_t* own_offsets;
  const std::int32_t* chosen;
  std::int32_t top_k;
  std::int32_t* rank_of;
  TATR_HD void operator()(std::int64_t i) const {
    const std::int32_t expert = key_expert(own_keys[i]);
    const std::int64_t first = static_cast<std::int64_t>(key_token(own_keys[i])) * top_k;
    std::int32_t slot = 0;
    while (slot + 1 < top_k && chosen[first + slot] != expert) ++slot;
    rank_of[first + slot] = static_cast<std::int32_t>(i) - own_offsets[expert];
  }
};

/// Adds one to a row's token, unless the row only repeats it: behind the expert's own tokens stand others, or the same
/// once more.
struct CountExpertOfRow {
  const std::int32_t* offsets;  // [E+1]
  const std::int32_t* token;
  const std::int32_t* counts;    // [E] before rounding
  const std::uint32_t* members;  // [T, ceil(E/32)]
  std::int32_t experts;
  std::int32_t* experts_of_token;  // [T]
  TATR_HD void operator()(std::int64_t row) const {
    const std::int32_t owner = token[row];
    if (owner < 0) return;
    const std::int32_t expert = owner_of(offsets, experts, row);
    const std::uint32_t word = members[static_cast<std::int64_t>(owner) * ceil_div(experts, 32) + expert / 32];
    const bool chose = (word >> (expert % 32) & 1u) != 0;
    if (!chose || row - offsets[expert] < counts[expert]) atomic_add(&experts_of_token[owner], 1);
  }
};

struct SumChunkOfTokens {
  static constexpr std::int32_t kChunk = 128;
  std::int32_t tokens, top_k;
  const std::int32_t* chosen;
  const float* gates;
  const float* scores;
  const std::int32_t* rank_of;
  const std::int32_t* target;
  const std::int32_t* experts_of_token;  // that compute it
  TokenSums* sums;
  TATR_HD void operator()(std::int64_t chunk) const {
    TokenSums sum;
    for (std::int64_t t = chunk * kChunk; t < (chunk + 1) * kChunk && t < tokens; ++t) {
      double mass = 0.0;
      for (std::int64_t a = t * top_k; a < (t + 1) * top_k; ++a) {
        if (rank_of[a] < target[chosen[a]]) continue;
        mass += static_cast<double>(gates[a]);
        sum.probability += static_cast<double>(scores[a]);
        ++sum.dropped;
      }
      sum.mass += mass;
      sum.square += mass * mass;
      sum.cube += mass * mass * mass;
      sum.without_expert += experts_of_token[t] == 0;
      if (sum.most_experts < experts_of_token[t]) sum.most_experts = experts_of_token[t];
    }
    sums[chunk] = sum;
  }
};

/// What rounding came to.
struct RoundedRows {
  const OwnRanking& own;
  const std::int32_t* target;  // [E]
  const Dispatch& dispatch;
};

template <class Policy>
TokenSums sum_over_tokens(const Policy& policy, System& system, const Routing& routing, const RoundedRows& rounded) {
  const auto& [own, target, dispatch] = rounded;
  const auto assignments = static_cast<std::int64_t>(routing.chosen.size());
  Buffer<std::int32_t> rank_of(system, routing.chosen.size());
  for_each_index(
      policy, assignments,
      RankOfAssignment{own.keys.data(), own.offsets.data(), routing.chosen.data(), routing.top_k, rank_of.data()});
  Buffer<std::int32_t> experts_of_token(system, static_cast<std::size_t>(routing.tokens));
  thrust::fill_n(policy, experts_of_token.data(), experts_of_token.size(), 0);
  for_each_index(policy, dispatch.rows,
                 CountExpertOfRow{dispatch.offsets.data(), dispatch.token.data(), routing.counts.data(),
                                  routing.members.data(), routing.experts, experts_of_token.data()});
  const std::int64_t chunks = ceil_div<std::int64_t>(routing.tokens, SumChunkOfTokens::kChunk);
  Buffer<TokenSums> sums(system, static_cast<std::size_t>(chunks));
  for_each_index(policy, chunks,
                 SumChunkOfTokens{routing.tokens, routing.top_k, routing.chosen.data(), routing.gates.data(),
                                  routing.scores.data(), rank_of.data(), target, experts_of_token.data(), sums.data()});
  TokenSums total;
  for (const TokenSums& sum : sums.to_host()) total.add(sum);
  return total;
}

/// The metrics that are sums over tokens, and the shares of T K.
inline void add_token_metrics(RoundingMetrics& metrics, const TokenSums& sums, const Routing& routing) {
  const auto tokens = static_cast<double>(routing.tokens);
  metrics.dropped = sums.dropped;
  add_shares(metrics, std::int64_t{routing.tokens} * routing.top_k);
  metrics.tokens_without_expert = sums.without_expert;
  metrics.experts_per_token_max = sums.most_experts;
  metrics.dropped_gate_mass = sums.mass / tokens;
  metrics.mean_square_dropped_mass = sums.square / tokens;
  metrics.mean_cube_dropped_mass = sums.cube / tokens;
  metrics.mean_dropped_probability = sums.dropped == 0 ? 0.0 : sums.probability / static_cast<double>(sums.dropped);
}

}  // namespace tatr
