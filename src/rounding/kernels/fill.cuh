// The best non-members on a GPU: rounding/fill.cuh says which. A block takes eight neighbouring experts, whose logits
// are one 32-byte sector of a token's row, and a chunk of tokens; a lane takes a token.
//
// A sample of 512 tokens gives each expert a bound that more than `need` of all tokens pass, but few more: about 4 need
// + 200 of any number. What may reach it is collected, and sorted when experts are processed. Should a sample mislead
// (fewer than `need` reach the bound, or more than there is room for), the expert is searched whole, which takes longer
// but needs no luck.
//
// Floor at T = 16384, E = 256: the logits once more, 16.8 MB, from L2 where they fit: 3 to 4 us. The quick comparison
// takes about 90 instructions a 256 logits. What passes is queued, so that exact scores are computed by full warps.
#pragma once

#include <algorithm>

#include "core/cuda_check.hpp"
#include "rounding/fill.cuh"
#include "rounding/kernels/decide.cuh"
#include "rounding/kernels/sort.cuh"

namespace tatr {

namespace fill_detail {

constexpr int kExperts = 8;         // of a block
constexpr int kWarps = 8;           // each sees to one expert's bound and to the writing of its list
constexpr int kStep = 32 * kWarps;  // tokens
constexpr unsigned kAllLanes = 0xFFFFFFFFu;
static_assert(kWarps == kExperts);

constexpr int kSample = 512;    // tokens
constexpr int kListRoom = 512;  // candidates of an expert in a chunk
static_assert(kSample % kStep == 0);

struct BlockState {
  std::int32_t count[kExperts], need[kExperts], claimed[kExperts];
  float quick_bound[kExperts];
  std::uint8_t queue[kWarps][32 * kExperts];  // lane times kExperts, plus expert of the block
  float logit[kWarps][kExperts][32];          // of the warps' tokens
  float maximum[kWarps][32], inverse[kWarps][32];
};

/// One token's logits of the block's experts.
struct TokenPart {
  float logit[kExperts];
  float maximum, inverse;
  std::uint32_t members;  // the word that tells of the block's experts: not shifted before use, for that would wait

  /// `vectors`: rows are aligned to 16 bytes. Experts that do not exist have an infinite bound; their logit is never
  /// used.
  __device__ void load(const FillSearch& search, std::int64_t token, int first_expert, bool vectors, bool softmax) {
    const float* const row = search.scores.logits + token * search.experts + first_expert;
#pragma unroll
    for (int i = 0; i < kExperts; i += 4) {
      if (vectors && first_expert + i < search.experts) {
        const float4 four = *reinterpret_cast<const float4*>(row + i);
        logit[i] = four.x;
        logit[i + 1] = four.y;
        logit[i + 2] = four.z;
        logit[i + 3] = four.w;
      } else {
#pragma unroll
        for (int j = i; j < i + 4; ++j) logit[j] = first_expert + j < search.experts ? row[j] : 0.0f;
      }
    }
    members = search.members[token * search.member_words + first_expert / 32];
    maximum = softmax ? search.scores.row_max[token] : 0.0f;
    inverse = softmax ? search.scores.row_inverse[token] : 0.0f;
  }

  /// A score of expert i that is quick to compute: within 1e-5 of the exact one wherever that matters.
  __device__ float quick_score(int i, bool softmax) const {
    return softmax ? __expf(logit[i] - maximum) * inverse : __fdividef(1.0f, 1.0f + __expf(-logit[i]));
  }

  /// Bit i: expert i's score may reach its bound.
  __device__ unsigned passing(const float* bound, int first_expert, bool softmax) const {
    unsigned mask = 0;
#pragma unroll
    for (int i = 0; i < kExperts; ++i) {
      if (quick_score(i, softmax) >= bound[i]) mask |= 1u << i;
    }
    return mask & ~(members >> (first_expert % 32));
  }
};

/// A score that at least `wanted` of the sampled ones reach, and not many more. One warp.
__device__ inline float sampled_bound(const float* scores, int wanted) {
  constexpr int kEach = kSample / 32;
  std::uint32_t bits[kEach], best = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    bits[i] = float_bits(scores[32 * i + threadIdx.x % 32]);
    best = max(best, bits[i]);
  }
  if (wanted <= 24) {  // the wanted-th best of the lanes' best
    std::uint32_t bound = 0;
    for (int i = 0; i < wanted; ++i) {
      bound = __reduce_max_sync(kAllLanes, best);
      if (best == bound) best = 0;
    }
    return float_from_bits(bound);
  }
  std::uint32_t low = 0, high = 0x3F800001u;  // beyond 1
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    int reach = 0;
#pragma unroll
    for (int i = 0; i < kEach; ++i) reach += bits[i] >= middle;
    reach = __reduce_add_sync(kAllLanes, reach);
    if (reach >= wanted && reach <= wanted + wanted / 8) return float_from_bits(middle);
    (reach < wanted ? high : low) = middle;
  }
  return float_from_bits(low);
}

/// Of a sample, how many must reach a bound so that more than `need` of all do: four standard deviations more than
/// their share.
__device__ inline int sampled_rank(int need, int tokens) {
  const float share = static_cast<float>(need) * kSample / static_cast<float>(tokens);
  return static_cast<int>(share + 4.0f * sqrtf(share)) + 4;
}

/// Sets the quick bound of each expert from a sample, the same in every chunk, and tells search.bounds what is surely
/// collected. `scores` has room for [kExperts,
/// kSample].
__device__ inline void set_bounds(const FillSearch& search, int first_expert, bool vectors, bool softmax, float* scores,
                                  BlockState& state) {
  for (int i = static_cast<int>(threadIdx.x); i < kSample; i += kStep) {
    TokenPart part;
    const bool valid = i < search.tokens;
    if (valid) {  // spread over all tokens; each once where there are few
      const std::int64_t token = search.tokens <= kSample ? i : std::int64_t{i} * search.tokens / kSample;
      part.load(search, token, first_expert, vectors, softmax);
    }
#pragma unroll
    for (int e = 0; e < kExperts; ++e) {
      const bool counts = valid && (part.members >> ((first_expert + e) % 32) & 1) == 0;
      scores[e * kSample + i] = counts ? fminf(part.quick_score(e, softmax), 1.0f) : 0.0f;
    }
  }
  __syncthreads();
  const int own = static_cast<int>(threadIdx.x / 32), need = state.need[own];
  const float bound =
      need == 0 ? __builtin_huge_valf() : sampled_bound(scores + own * kSample, sampled_rank(need, search.tokens));
  if (threadIdx.x % 32 == 0) {
    const float sure = bound > kLeastQuickBound ? bound : 0.0f;
    state.quick_bound[own] = sure * kQuickMargin;
    if (blockIdx.y == 0 && need > 0) search.bounds[first_expert + own] = sure;
  }
  __syncthreads();
}

}  // namespace fill_detail

/// `search.found` is [E, room], and search.counts [E], zero before; more than `room` says that a list did not suffice.
/// All scores of at least search.bounds[e] are among those found, and some that are a little lower.
__global__ void __launch_bounds__(32 * fill_detail::kWarps) collect_fill(const FillSearch search) {
  using namespace fill_detail;
  __shared__ std::uint64_t candidates[kExperts][kListRoom];  // before: the sample's scores
  __shared__ BlockState state;
  static_assert(sizeof candidates >= sizeof(float) * kExperts * kSample);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int first_expert = static_cast<int>(blockIdx.x) * kExperts;
  if (threadIdx.x < kExperts) {
    state.need[lane] = first_expert + lane < search.experts ? search.need[first_expert + lane] : 0;
    state.count[lane] = 0;
  }
  if (__syncthreads_or(threadIdx.x < kExperts && state.need[lane] > 0) == 0) return;
  const bool softmax = search.scores.scoring == Scoring::kSoftmax, vectors = search.experts % 4 == 0;
  std::int32_t token = static_cast<std::int32_t>(blockIdx.y) * search.chunk_tokens + warp * 32 + lane;
  const std::int32_t last = token - warp * 32 - lane + search.chunk_tokens;
  const std::int32_t end = last < search.tokens ? last : search.tokens;
  TokenPart part;
  if (token < end) part.load(search, token, first_expert, vectors, softmax);
  set_bounds(search, first_expert, vectors, softmax, reinterpret_cast<float*>(candidates), state);

  for (; token - lane < end; token += kStep) {  // warps go their own way
    TokenPart next;
    if (token + kStep < end) next.load(search, token + kStep, first_expert, vectors, softmax);
    unsigned mask = token < end ? part.passing(state.quick_bound, first_expert, softmax) : 0;
#pragma unroll
    for (int i = 0; i < kExperts; ++i) state.logit[warp][i][lane] = part.logit[i];
    state.maximum[warp][lane] = part.maximum;
    state.inverse[warp][lane] = part.inverse;
    int queued = 0;
    while (const unsigned lanes = __ballot_sync(kAllLanes, mask != 0)) {
      if (mask != 0) {
        state.queue[warp][queued + __popc(lanes & ((1u << lane) - 1))] =
            static_cast<std::uint8_t>(lane * kExperts + __ffs(static_cast<int>(mask)) - 1);
        mask &= mask - 1;
      }
      queued += __popc(lanes);
    }
    __syncwarp();
    for (int i = lane; i < queued; i += 32) {
      const int entry = state.queue[warp][i], own = entry % kExperts, of = entry / kExperts;
      const float score = ScoreView::exact_score(search.scores.scoring, state.logit[warp][own][of],
                                                 state.maximum[warp][of], state.inverse[warp][of]);
      const int place = atomicAdd(&state.count[own], 1);
      if (place < kListRoom) {
        candidates[own][place] = rank_key(first_expert + own, rank_place(score, token - lane + of));
      }
    }
    part = next;
    __syncwarp();
  }
  __syncthreads();
  if (first_expert + warp >= search.experts) return;
  const std::int64_t expert = first_expert + warp;
  const int count = state.count[warp];
  if (lane == 0) state.claimed[warp] = atomicAdd(&search.counts[expert], count <= kListRoom ? count : kSortRoom + 1);
  __syncwarp();
  const int first = state.claimed[warp];
  for (int i = lane; i < count && count <= kListRoom && first + i < search.room; i += 32) {
    search.found[expert * search.room + first + i] = candidates[warp][i];
  }
}

/// Finds an expert's `need` best non-members with no bound to begin with: every token's exact score, kept in shared
/// memory while among the best so far. One block; returns them sorted.
__device__ inline std::uint64_t* search_whole(const FillSearch& search, int expert, int need, std::uint64_t* room) {
  __shared__ int kept;
  std::uint64_t worst = kNoKey;
  if (threadIdx.x == 0) kept = 0;
  std::uint64_t* sorted = room;
  for (std::int32_t step = 0; step < search.tokens; step += static_cast<std::int32_t>(blockDim.x)) {
    __syncthreads();
    const std::int32_t token = step + static_cast<std::int32_t>(threadIdx.x);
    if (token < search.tokens && !search.is_member(token, expert)) {
      const std::uint64_t key = rank_key(expert, rank_place(search.scores(token, expert), token));
      if (key <= worst) room[atomicAdd(&kept, 1)] = key;
    }
    __syncthreads();
    const int count = kept;
    const bool last = step + static_cast<std::int32_t>(blockDim.x) >= search.tokens;
    if (!last && count + static_cast<int>(blockDim.x) <= kSortRoom) continue;
    sorted = sort_in_shared(room, count);
    if (count >= need) worst = sorted[need - 1];
    const int left = count < need ? count : need;
    for (int i = threadIdx.x; sorted != room && i < left; i += blockDim.x) room[i] = sorted[i];
    if (threadIdx.x == 0) kept = left;
    sorted = room;
  }
  __syncthreads();
  return sorted;
}

/// Tokens of a chunk, such that blocks fill the GPU about four times over.
inline std::int32_t fill_chunk_tokens(std::int32_t tokens, std::int32_t experts, int multiprocessors) {
  const std::int32_t groups = ceil_div(experts, fill_detail::kExperts);
  const std::int32_t chunks = std::max(1, ceil_div(4 * multiprocessors, groups));
  return round_up(std::max(ceil_div(tokens, chunks), 4 * fill_detail::kStep), fill_detail::kStep);
}

inline void launch_fill(const FillSearch& search, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(ceil_div(search.experts, fill_detail::kExperts)),
                    static_cast<unsigned>(search.chunks));
  collect_fill<<<blocks, 32 * fill_detail::kWarps, 0, stream>>>(search);
}

}  // namespace tatr
