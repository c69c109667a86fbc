// The best non-members on a GPU: rounding/fill.cuh says which.
//
// A sample of 1024 tokens gives each expert a bound that more than `need` of all tokens pass, but few more: about
// 3 need + 100 of any number. The sample is sorted before it is known what an expert needs, beside the dealing of
// assignments (kernels/deal.cuh). Then warps read whole rows of logits, a lane the same eight experts in each, and what
// may reach its bound is collected; it is sorted when experts are processed. Should a sample mislead (fewer than `need`
// reach the bound, or more than there is room for), the expert is searched whole, which takes longer but needs no luck.
//
// Floor at T = 16384, E = 256: the logits once more, 16.8 MB, from L2 where they fit: 3 to 4 us. The quick comparison
// takes about 60 instructions a 256 logits. What passes is queued, so that exact scores are computed by full warps, and
// counted by block, so that few add to an expert's one counter.
#pragma once

#include <algorithm>

#include "device/cuda_check.hpp"
#include "rounding/fill.cuh"
#include "rounding/kernels/decide.cuh"
#include "rounding/kernels/sort.cuh"
#include "router/kernels/logits.cuh"

namespace tatr {

inline constexpr int kFillSample = 1024;  // tokens
/// Sampled scores that are kept of an expert.
inline constexpr int kFillRanks = 128;
/// Counts of found fills stand in sectors of their own, for many blocks add to them.
inline constexpr int kFillCountStride = 8;

namespace fill_detail {

constexpr int kEach = 8;              // neighbouring experts of a lane
constexpr int kColumns = 32 * kEach;  // experts of a block that collects
constexpr int kWarps = 16;
constexpr int kBatch = 2;         // tokens that a warp loads at once
constexpr int kRound = 512;       // tokens of a block between one writing of what was found and the next
constexpr int kQueueRoom = 4096;  // candidates of a round
constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr std::int32_t kNoRoom = 1 << 30;  // added to a count: more than there can be room for, whatever else is added

/// One token's logits of a lane's experts.
struct TokenPart {
  float logit[kEach];
  float maximum = 0.0f, inverse = 1.0f;  // of the token, for softmax; nothing is computed of them while others load
  std::uint32_t members = 0;  // the word that tells of the lane's experts: not shifted before use, for that would wait

  /// `vectors`: rows are aligned to four logits. Logits of experts that do not exist are never used.
  __device__ void load(const FillSearch& search, std::int64_t token, int first_expert, bool vectors) {
    const LogitView& logits = search.scores.logits;
    const std::int64_t row = token * search.experts + first_expert;
#pragma unroll
    for (int i = 0; i < kEach; i += 4) {
      if (vectors && first_expert + i < search.experts) {
        const float4 four =
            logits.bf16 != nullptr ? four_logits(logits.bf16 + row + i) : four_logits(logits.fp32 + row + i);
        logit[i] = four.x;
        logit[i + 1] = four.y;
        logit[i + 2] = four.z;
        logit[i + 3] = four.w;
      } else {
#pragma unroll
        for (int j = i; j < i + 4; ++j) logit[j] = first_expert + j < search.experts ? logits[row + j] : 0.0f;
      }
    }
    if (first_expert < search.experts) members = search.members[token * search.member_words + first_expert / 32];
    if (search.scores.scoring == Scoring::kSoftmax) {
      maximum = search.scores.row_max[token];
      inverse = search.scores.row_inverse[token];
    }
  }

  /// Whether the token is one of expert i's own.
  __device__ bool is_member(int i, int first_expert) const { return (members >> (first_expert % 32 + i) & 1) != 0; }

  /// A score reaches a bound where its logit less this does.
  __device__ float shift() const { return maximum - __logf(inverse); }

  /// A score of expert i that is quick to compute: within 1e-5 of the exact one wherever that matters.
  __device__ float quick_score(int i, Scoring scoring) const {
    return scoring == Scoring::kSoftmax ? __expf(logit[i] - shift()) : __fdividef(1.0f, 1.0f + __expf(-logit[i]));
  }

  /// Bit i: expert i does not have the token, and its score may reach its bound.
  __device__ unsigned passing(const float* bound, int first_expert) const {
    unsigned mask = 0;
    const float own_shift = shift();
#pragma unroll
    for (int i = 0; i < kEach; ++i) mask |= logit[i] - own_shift >= bound[i] ? 1u << i : 0u;
    return mask & ~(members >> (first_expert % 32));
  }
};

/// What an expert wants is of this rank in the sample, so that more than `need` of all tokens reach it: four standard
/// deviations beyond its share.
__host__ __device__ inline int sampled_rank(int need, int tokens) {
  const float share = static_cast<float>(need) * kFillSample / static_cast<float>(tokens);
  return static_cast<int>(share + 4.0f * sqrtf(share)) + 4;
}

/// The score that an expert's sample bounds its fills by; 0 where the sample says nothing, or what quick scores are not
/// precise enough for.
__device__ inline float sampled_bound(const FillSearch& search, int expert, int need) {
  const int rank = sampled_rank(need, search.tokens);
  const float bound = rank <= search.sample_ranks ? search.sample[expert * kFillRanks + rank - 1] : 0.0f;
  return bound > kLeastQuickBound ? bound : 0.0f;
}

/// What a logit, less its token's shift, must reach so that its score may reach `score`.
__device__ inline float quick_bound(Scoring scoring, float score) {
  const float least = score * kQuickMargin;
  if (least == 0.0f) return -__builtin_huge_valf();
  return scoring == Scoring::kSoftmax ? logf(least) : logf(least / (1.0f - least));
}

/// What may reach its bound in a round: a token after the round's first, and an expert after the block's first.
struct FillQueue {
  std::uint32_t entries[kQueueRoom];  // expert; token << 8; place in the block's list of the expert << 17
  std::int32_t waiting;
  std::int32_t listed[kColumns];  // how many of each expert; then where they go

  static_assert(kColumns == 1 << 8 && kRound == 1 << 9);
  __device__ static int column(std::uint32_t entry) { return static_cast<int>(entry & 0xFF); }
  __device__ static int token(std::uint32_t entry) { return static_cast<int>(entry >> 8 & 0x1FF); }
  __device__ static int place(std::uint32_t entry) { return static_cast<int>(entry >> 17); }

  /// Takes a warp's masks of one token. What finds no room makes its expert's list not suffice.
  __device__ void push(unsigned mask, int token, const FillSearch& search, int first_expert) {
    const int lane = static_cast<int>(threadIdx.x % 32);
    const int passing = __reduce_add_sync(kAllLanes, __popc(mask));
    if (passing == 0) return;
    int first = 0;
    if (lane == 0) first = atomicAdd(&waiting, passing);
    first = __shfl_sync(kAllLanes, first, 0);
    while (const unsigned lanes = __ballot_sync(kAllLanes, mask != 0)) {
      if (mask != 0) {
        const int at = first + __popc(lanes & ((1u << lane) - 1)),
                  own = lane * kEach + __ffs(static_cast<int>(mask)) - 1;
        mask &= mask - 1;
        if (at < kQueueRoom) {
          entries[at] = static_cast<std::uint32_t>(token << 8 | own);
        } else {
          atomicOr(&search.counts[(first_expert + own) * kFillCountStride], kNoRoom);
        }
      }
      first += __popc(lanes);
    }
  }

  /// Writes what waits to the experts' lists. All threads, after a barrier; ends with one, and with an empty queue.
  __device__ void flush(const FillSearch& search, std::int32_t first_token, int first_expert) {
    const int count = min(waiting, kQueueRoom), threads = static_cast<int>(blockDim.x);
    for (int i = static_cast<int>(threadIdx.x); i < count; i += threads) {
      entries[i] |= static_cast<std::uint32_t>(atomicAdd(&listed[column(entries[i])], 1) << 17);
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += threads) {
      if (listed[i] > 0) listed[i] = atomicAdd(&search.counts[(first_expert + i) * kFillCountStride], listed[i]);
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < count; i += threads) {
      const std::uint32_t entry = entries[i];
      const std::int32_t at = listed[column(entry)] + place(entry), expert = first_expert + column(entry);
      const std::int64_t of = first_token + token(entry);
      if (at >= search.room) continue;
      search.found[static_cast<std::int64_t>(expert) * search.room + at] =
          rank_key(expert, rank_place(search.scores(of, expert), of));
    }
    __syncthreads();
    clear();
  }

  __device__ void clear() {
    for (int i = static_cast<int>(threadIdx.x); i < kColumns; i += static_cast<int>(blockDim.x)) listed[i] = 0;
    if (threadIdx.x == 0) waiting = 0;
    __syncthreads();
  }
};

}  // namespace fill_detail

/// Sorts what a thread holds, high to low (bitonic sort; Batcher, 1968).
template <int kCount>
__device__ void sort_in_thread(std::uint32_t (&values)[kCount]) {
#pragma unroll
  for (int run = 2; run <= kCount; run *= 2) {
#pragma unroll
    for (int distance = run / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        if ((i & distance) != 0) continue;
        const std::uint32_t a = values[i], b = values[i | distance];
        const bool falling = (i & run) == 0 || run == kCount;
        values[i] = falling ? max(a, b) : min(a, b);
        values[i | distance] = falling ? min(a, b) : max(a, b);
      }
    }
  }
}

inline constexpr std::size_t kSampleBytes = fill_detail::kEach * kFillSample * sizeof(float);

/// Sorts the sampled scores of eight experts, a warp each: search.sample gets the best search.sample_ranks of them,
/// high to low. An expert's own tokens count as 0. By one block of eight warps or more; `scores` has kSampleBytes.
__device__ inline void sample_experts(const FillSearch& search, int first_expert, float* scores) {
  using namespace fill_detail;
  const bool vectors = search.experts % 4 == 0, few = search.tokens <= kFillSample;
  for (int i = static_cast<int>(threadIdx.x); i < kFillSample; i += static_cast<int>(blockDim.x)) {
    TokenPart part;
    const bool valid = !few || i < search.tokens;  // spread over all tokens; each once where there are few
    if (valid) part.load(search, few ? i : std::int64_t{i} * search.tokens / kFillSample, first_expert, vectors);
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const bool counts = valid && !part.is_member(e, first_expert);
      scores[e * kFillSample + i] = counts ? fminf(part.quick_score(e, search.scores.scoring), 1.0f) : 0.0f;
    }
  }
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int expert = first_expert + warp;
  if (warp >= kEach || expert >= search.experts) return;
  std::uint32_t bits[kFillSample / 32];
#pragma unroll
  for (int i = 0; i < kFillSample / 32; ++i) bits[i] = float_bits(scores[warp * kFillSample + 32 * i + lane]);
  sort_in_thread(bits);
  for (int rank = 0; rank < search.sample_ranks; ++rank) {
    const std::uint32_t best = __reduce_max_sync(kAllLanes, bits[0]);
    const int owner = __ffs(static_cast<int>(__ballot_sync(kAllLanes, bits[0] == best))) - 1;
    if (lane == 0) search.sample[expert * kFillRanks + rank] = float_from_bits(best);
    if (lane != owner) continue;
#pragma unroll
    for (int i = 0; i + 1 < kFillSample / 32; ++i) bits[i] = bits[i + 1];
    bits[kFillSample / 32 - 1] = 0;
  }
}

/// `search.found` is [E, room], and search.counts [E, kFillCountStride], zero before; more than `room` says that the
/// list did not suffice. All scores of at least search.bounds[e] are among those found, and some that are a little
/// lower.
__global__ void __launch_bounds__(32 * fill_detail::kWarps, 2) collect_fill(const FillSearch search) {
  using namespace fill_detail;
  __shared__ float bounds[kColumns];
  __shared__ FillQueue queue;
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int first_column = static_cast<int>(blockIdx.x) * kColumns, first_expert = first_column + lane * kEach;
  const std::int32_t first_token = static_cast<std::int32_t>(blockIdx.y) * search.chunk_tokens;
  const std::int32_t end = min(first_token + search.chunk_tokens, search.tokens);
  const bool vectors = search.experts % 4 == 0;
  TokenPart part[kBatch];
  const auto load_from = [&](std::int32_t token) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (token + b * kWarps < end) part[b].load(search, token + b * kWarps, first_expert, vectors);
    }
  };
  const int column = static_cast<int>(threadIdx.x), expert = first_column + column;
  const std::int32_t need = column < kColumns && expert < search.experts ? search.need[expert] : 0;
  load_from(first_token + warp);
  if (__syncthreads_or(need > 0) == 0) return;
  if (column < kColumns) {
    const float sure = need > 0 ? sampled_bound(search, expert, need) : 0.0f;
    bounds[column] = need > 0 ? quick_bound(search.scores.scoring, sure) : __builtin_huge_valf();
    if (blockIdx.y == 0 && need > 0) search.bounds[expert] = sure;
  }
  queue.clear();
  float bound[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) bound[i] = bounds[lane * kEach + i];

  for (std::int32_t round = first_token; round < end; round += kRound) {
    const std::int32_t last = min(round + kRound, end);
    for (std::int32_t token = round + warp; token < last; token += kBatch * kWarps) {
      unsigned passing[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) passing[b] = part[b].passing(bound, first_expert);
      load_from(token + kBatch * kWarps);
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const std::int32_t own = token + b * kWarps;
        if (own < last) queue.push(passing[b], own - round, search, first_column);
      }
    }
    __syncthreads();
    queue.flush(search, round, first_column);
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

/// Tokens of a chunk, such that there are about two blocks for each multiprocessor.
inline std::int32_t fill_chunk_tokens(std::int32_t tokens, std::int32_t experts, int multiprocessors) {
  using namespace fill_detail;
  const std::int32_t chunks = std::max(1, 2 * multiprocessors / ceil_div(experts, kColumns));
  return ceil_div(tokens, chunks);
}

/// Ranks of the sample that a need of at most `most` can ask for.
inline std::int32_t fill_sample_ranks(std::int32_t most, std::int32_t tokens) {
  return std::min(fill_detail::sampled_rank(most, tokens), kFillRanks);
}

inline void launch_fill(const FillSearch& search, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(ceil_div(search.experts, fill_detail::kColumns)),
                    static_cast<unsigned>(search.chunks));
  collect_fill<<<blocks, 32 * fill_detail::kWarps, 0, stream>>>(search);
  TATR_CHECK_LAUNCH(collect_fill);
}

}  // namespace tatr
