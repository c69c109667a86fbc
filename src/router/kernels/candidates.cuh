// Candidates for a token's top-k on a GPU: a short list in shared memory, and its order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/exact_math.hpp"

namespace tatr::top_k_detail {

constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr int kRoom = 32;           // candidates of a token
constexpr int kMostExperts = 1024;  // that a key has bits for
constexpr float kAbsent = -__builtin_huge_valf();

/// A float whose low bits, that `low` has room in, are replaced.
__device__ inline float with_low_bits(float value, std::uint32_t room, std::uint32_t low) {
  return float_from_bits((float_bits(value) & ~room) | low);
}

struct Candidate {
  float value;  // never -0, which equals +0
  std::int32_t expert;

  /// Whether it is chosen before another one: by larger logit, of equal ones the lower expert first.
  __device__ bool precedes(const Candidate& other) const {
    return value > other.value || (value == other.value && expert < other.expert);
  }

  /// The value with low bits that end in the place in the list, so that no two keys are equal. Keys that differ above
  /// the place are in the order of their candidates: of bf16 all do, for the low half has room for the expert.
  template <class Number>
  __device__ float key(int place) const {
    if constexpr (sizeof(Number) == sizeof(float)) {
      return with_low_bits(value, kRoom - 1, static_cast<std::uint32_t>(place));
    } else {
      const std::int32_t rising = value < 0.0f ? expert : kMostExperts - 1 - expert;
      return with_low_bits(value, 0xFFFF, static_cast<std::uint32_t>(rising * kRoom + place));
    }
  }
};

__device__ inline int place_of(float key) { return static_cast<int>(float_bits(key) % kRoom); }

/// Whether only the place tells two keys apart, so that their order may not be that of their candidates.
__device__ inline bool differ_by_place(float a, float b) { return (float_bits(a) ^ float_bits(b)) < kRoom; }

/// What kGroup lanes keep in shared memory while they work on a token.
template <int kGroup>
struct TokenScratch {
  alignas(16) float key[kRoom];  // of the candidates; kAbsent beyond them. Then in falling order
  Candidate listed[kRoom];
  double score[kGroup];           // of the chosen; 0 beyond them
  std::uint32_t members[kGroup];  // bit e: expert e is chosen
};

/// Sorts kEach values of each of the group's lanes, high to low: lane l then has those of ranks kEach l and on (bitonic
/// sort; Batcher, 1968). Where a lane is to get the smaller ones it holds its values negated, so that every lane takes
/// a maximum: choosing between minimum and maximum would take twice the instructions, of a unit that works at half
/// rate.
template <int kGroup, int kEach>
__device__ void sort_descending(float (&values)[kEach], int lane) {
  float sign = 1.0f;
#pragma unroll
  for (int run = 2; run <= kEach * kGroup; run *= 2) {
    const bool falls = run < kEach || run == kEach * kGroup || (kEach * lane & run) == 0;
#pragma unroll
    for (int distance = run / 2; distance > 0; distance /= 2) {
      const bool takes_larger = falls == (distance < kEach || (kEach * lane & distance) == 0);
      const float next = takes_larger ? 1.0f : -1.0f;
#pragma unroll
      for (int i = 0; i < kEach; ++i) values[i] *= sign * next;
      sign = next;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        if (distance >= kEach) {
          values[i] = fmaxf(values[i], -__shfl_xor_sync(kAllLanes, values[i], distance / kEach));
        } else if ((i & distance) == 0) {
          const int larger = run < kEach && (i & run) != 0 ? i | distance : i, smaller = larger ^ distance;
          const float a = values[larger], b = values[smaller];
          values[larger] = fmaxf(a, b);
          values[smaller] = fminf(a, b);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) values[i] *= sign;
}

/// Sorts the first kEach * kGroup keys of a list; the others are kAbsent.
template <int kEach, int kGroup>
__device__ void sort_keys(int lane, TokenScratch<kGroup>& scratch) {
  float keys[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) keys[i] = scratch.key[kEach * lane + i];
  sort_descending<kGroup>(keys, lane);
#pragma unroll
  for (int i = 0; i < kEach; ++i) scratch.key[kEach * lane + i] = keys[i];
  __syncwarp();
}

/// Sorts the keys exactly, where they may not tell which candidate precedes.
template <int kGroup>
__device__ void sort_exactly(int found, int lane, TokenScratch<kGroup>& scratch) {
  constexpr int kEach = kRoom / kGroup;
  int before[kEach] = {};
  float key[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    key[i] = scratch.key[lane + i * kGroup];
    const Candidate own = scratch.listed[place_of(key[i])];
    for (int other = 0; other < found; ++other) before[i] += scratch.listed[other].precedes(own);
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    if (lane + i * kGroup < found) scratch.key[before[i]] = key[i];
  }
  __syncwarp();
}

/// Whether the key of a rank and the next one may be in the wrong order.
template <int kGroup>
__device__ bool is_unsure(int rank, const TokenScratch<kGroup>& scratch) {
  return rank + 1 < kRoom && differ_by_place(scratch.key[rank], scratch.key[rank + 1]);
}

/// The candidate of a rank that is `needed`, once the keys are sorted. Where two neighbours are unsure, as in one token
/// of 5000, they are compared; three or more in a row are sorted exactly, which for every such token would cost the
/// kernel a microsecond at its end.
template <int kGroup>
__device__ Candidate of_exact_rank(int rank, bool needed, int found, TokenScratch<kGroup>& scratch) {
  const bool after = is_unsure(rank, scratch), before = rank > 0 && is_unsure(rank - 1, scratch);
  if (__any_sync(kAllLanes, needed && after && is_unsure(rank + 1, scratch))) sort_exactly(found, rank, scratch);
  const Candidate own = scratch.listed[place_of(scratch.key[rank])];
  if (!before && !after) return own;
  const Candidate other = scratch.listed[place_of(scratch.key[before ? rank - 1 : rank + 1])];
  return other.precedes(own) == before ? own : other;
}

}  // namespace tatr::top_k_detail
