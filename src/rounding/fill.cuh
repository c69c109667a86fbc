// Finds each expert's best non-members: only of experts that need some, and only as many as they need.
//
// Tokens are taken in chunks. A chunk keeps, for each expert, the best it has seen; when an expert's room is full, all
// but the `need` best go, and the last of them becomes the bound that later tokens must beat. Few do, and most are
// turned away by one comparison, before their exact score is known. The chunks' best are then merged. So no T x E array
// is written, nothing is sorted but candidates, the room is bounded, and ties of any number end exactly.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/integer_math.hpp"
#include "device/thrust_policy.cuh"
#include "rounding/added_gate.hpp"
#include "rounding/rank_key.hpp"
#include "router/routing.hpp"

namespace tatr {

/// What the search reads and writes. `need` [E] is at most T - count of each expert, and at most `stride`.
struct FillSearch {
  ScoreView scores;
  const std::uint32_t* members;
  std::int32_t tokens, experts, member_words;
  std::int32_t chunk_tokens, chunks;
  const std::int32_t* need;   // [E]; 0: the expert wants none
  std::int32_t stride;        // most that any expert can need
  std::int32_t room;          // candidates of an expert that a list has room for
  std::uint64_t* found;       // [E, chunks, room] keys of a chunk's best, in any order; on a GPU [E, room]
  std::int32_t* counts;       // [E, chunks] how many; on a GPU [E, kFillCountStride], of which the first counts
  float* bounds;              // [E] on a GPU: scores from here on are surely found
  float* sample;              // [E, kFillRanks] on a GPU: the best sampled scores
  std::int32_t sample_ranks;  // how many of them
  std::uint64_t* keys;        // [E, stride] the result: need[e] keys in ranking order
  double* mass;               // [E] sum of their gates, in that order
  GateOfAdded gate;

  TATR_HD bool is_member(std::int64_t token, std::int32_t expert) const {
    return (members[token * member_words + expert / 32] >> (expert % 32) & 1) != 0;
  }
};

/// Scores this much below a bound are turned away unseen: far more than the error of the quick comparison.
inline constexpr float kQuickMargin = 1.0f - 1e-4f;
/// Bounds below it turn nothing away: quick scores are not precise there.
inline constexpr float kLeastQuickBound = 1e-30f;

/// One chunk on the CPU: a token's experts are compared side by side, in vectors.
struct FillChunk {
  FillSearch search;

  /// A score reaches `score` only where logit - maximum >= quick_bound(score) + quick_shift(token).
  float quick_bound(float score) const {
    if (!(score > kLeastQuickBound)) return -std::numeric_limits<float>::infinity();
    const float least = score * kQuickMargin;
    return search.scores.scoring == Scoring::kSoftmax ? std::log(least) : std::log(least / (1.0f - least));
  }
  float maximum(std::int64_t token) const {
    return search.scores.scoring == Scoring::kSoftmax ? search.scores.row_max[token] : 0.0f;
  }
  float quick_shift(std::int64_t token) const {
    return search.scores.scoring == Scoring::kSoftmax ? -std::log(search.scores.row_inverse[token]) : 0.0f;
  }

  void operator()(std::int64_t chunk) const {
    const std::int32_t experts = search.experts;
    const std::int64_t first = chunk * search.chunk_tokens;
    const std::int64_t last = std::min<std::int64_t>(first + search.chunk_tokens, search.tokens);
    float bound[kMaxExperts];
    std::uint64_t least[kMaxExperts];  // of the keys kept so far, the worst
    unsigned char passes[kMaxExperts + 8] = {};
    for (std::int32_t e = 0; e < experts; ++e) {
      bound[e] = std::numeric_limits<float>::infinity() * (search.need[e] == 0 ? 1.0f : -1.0f);
      least[e] = ~std::uint64_t{0};
      search.counts[e * search.chunks + chunk] = 0;
    }
    for (std::int64_t token = first; token < last; ++token) {
      const float* logits = search.scores.logits.fp32 + token * experts;
      const float top = maximum(token), shift = quick_shift(token);
      for (std::int32_t e = 0; e < experts; ++e) passes[e] = logits[e] - top >= bound[e] + shift;
      for (std::int32_t eight = 0; eight < experts; eight += 8) {
        std::uint64_t any;
        std::memcpy(&any, passes + eight, sizeof any);
        if (any == 0) continue;
        for (std::int32_t e = eight; e < eight + 8; ++e) {
          if (passes[e] == 0 || search.is_member(token, e)) continue;
          const std::uint64_t key = rank_key(e, rank_place(search.scores(token, e), token));
          if (key > least[e]) continue;
          if (keep(chunk, e, key)) {
            least[e] = last_kept(chunk, e);
            bound[e] = quick_bound(key_score(least[e]));
          }
        }
      }
    }
  }

  /// Returns whether all but the `need` best were dropped to make room; the last of them then stands at need - 1.
  bool keep(std::int64_t chunk, std::int32_t expert, std::uint64_t key) const {
    const std::int64_t list = static_cast<std::int64_t>(expert) * search.chunks + chunk;
    std::uint64_t* keys = search.found + list * search.room;
    std::int32_t& count = search.counts[list];
    keys[count++] = key;
    if (count < search.room) return false;
    std::nth_element(keys, keys + search.need[expert] - 1, keys + count);
    count = search.need[expert];
    return true;
  }
  std::uint64_t last_kept(std::int64_t chunk, std::int32_t expert) const {
    return search
        .found[(static_cast<std::int64_t>(expert) * search.chunks + chunk) * search.room + search.need[expert] - 1];
  }
};

/// Joins the chunks' best of one expert.
struct MergeFill {
  FillSearch search;
  void operator()(std::int64_t expert) const {
    const std::int32_t need = search.need[expert];
    std::uint64_t* all = search.found + expert * search.chunks * search.room;
    std::uint64_t* end = all;
    for (std::int32_t chunk = 0; chunk < search.chunks; ++chunk) {
      const std::uint64_t* keys = all + static_cast<std::int64_t>(chunk) * search.room;
      end = std::copy(keys, keys + search.counts[expert * search.chunks + chunk], end);
    }
    std::uint64_t* keys = search.keys + expert * search.stride;
    std::partial_sort_copy(all, end, keys, keys + need);
    search.mass[expert] = search.gate.sum(keys, need);
  }
};

/// On the CPU.
template <class Policy>
void find_fill(const Policy& policy, const FillSearch& search) {
  for_each_index(policy, search.chunks, FillChunk{search});
  for_each_index(policy, search.experts, MergeFill{search});
}

}  // namespace tatr
