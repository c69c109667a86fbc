// Top-k routing on a GPU: one warp a token, one pass over the logits. Same bits as the portable text in
// router/routing.cu.
//
// Floor at T = 16384, E = 256: 16.8 MB of logits at 3.0 TB/s, 5.6 us. The warp schedulers bind instead: the
// exponentials of a token take 240 instructions a warp, so everything else is kept short. Half a warp takes a token
// where that leaves few enough values a lane, so that what is done once a token is shared by two. Selection looks at
// few values: the K-th best of the lanes' maxima bounds the K-th best of all from below, and about K + 3 of 256 reach
// it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/cuda_check.hpp"
#include "core/exact_math.hpp"
#include "router/kernels/logits.cuh"
#include "router/routing.hpp"

namespace tatr {

struct TopKParams {
  LogitView logits;  // [T, E]; E a multiple of 4, so that rows are aligned to four values
  std::int32_t tokens, experts, top_k, member_words;
  Scoring scoring;
  bool normalise;
  std::int32_t* chosen;
  float* gates;
  float* scores;
  std::uint32_t* members;
  std::int32_t* counts;  // zeroed before; the rest is written whole
  float* row_max;
  float* row_inverse;
};

namespace top_k_detail {

constexpr int kWarps = 16;  // per block
constexpr int kWarpLanes = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr int kRoom = 32;                    // candidates of a token
constexpr float kLowest = -3.402823466e38f;  // of the finite numbers
constexpr float kAbsent = -__builtin_huge_valf();

/// Orders like the float, with -0 equal to +0.
__device__ inline std::uint32_t order_key(float value) {
  const std::uint32_t bits = float_bits(value + 0.0f);
  return bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFu : 0x80000000u);
}

__device__ inline float ordered_value(std::uint32_t key) {
  return float_from_bits(key ^ ((key >> 31) != 0 ? 0x80000000u : 0xFFFFFFFFu));
}

/// Orders logits, and of equal ones the lower expert first, by descending value.
__device__ inline std::uint64_t candidate(float value, std::int32_t expert) {
  return std::uint64_t{order_key(value)} << 32 | static_cast<std::uint32_t>(~expert);
}

/// What a group of lanes keeps in shared memory while it works on a token.
struct TokenScratch {
  std::int32_t expert[kRoom];  // of the candidates
  std::uint64_t key[kRoom];
  std::uint64_t chosen[kRoom];   // best first
  std::uint32_t members[kRoom];  // bit e: expert e is chosen
};

/// One token's logits over kGroup lanes, 128 / kGroup neighbouring experts a lane and chunk of 128; kAbsent, which no
/// logit is, where there is no such expert.
template <int kGroup, int kChunks>
struct Row {
  static constexpr int kEach = 128 / kGroup;
  static constexpr int kValues = kEach * kChunks;
  float value[kValues];

  __device__ static std::int32_t expert(int j, int lane) { return 128 * (j / kEach) + kEach * lane + j % kEach; }

  /// The row from logits[first] on. kWhole: there are 128 kChunks experts.
  template <bool kWhole>
  __device__ void load(const LogitView& logits, std::int64_t first, std::int32_t experts, int lane) {
    if (logits.bf16 != nullptr) {
#pragma unroll
      for (int j = 0; j < kValues; j += 4) load_four<kWhole>(logits.bf16 + first, j, experts, lane);
    } else {
#pragma unroll
      for (int j = 0; j < kValues; j += 4) load_four<kWhole>(logits.fp32 + first, j, experts, lane);
    }
  }

  template <bool kWhole, class Number>
  __device__ void load_four(const Number* row, int j, std::int32_t experts, int lane) {
    float4 four{kAbsent, kAbsent, kAbsent, kAbsent};
    if (kWhole || expert(j, lane) < experts) four = four_logits(row + expert(j, lane));
    value[j] = four.x;
    value[j + 1] = four.y;
    value[j + 2] = four.z;
    value[j + 3] = four.w;
  }

  __device__ float maximum() const {
    float best = value[0];
#pragma unroll
    for (int j = 1; j < kValues; ++j) best = fmaxf(best, value[j]);
    return best;
  }

  /// The sum of row_exp_sum in router/row.hpp: a partial sum for each expert mod 128, then neighbours joined in a tree.
  /// Absent experts add 0.
  template <bool kWhole>
  __device__ float exp_sum(float maximum) const {
    float partial[kEach] = {};
#pragma unroll
    for (int j = 0; j < kValues; ++j) {
      const float below = value[j] - maximum;
      partial[j % kEach] += kWhole ? exact_exp_term(below) : exact_exp(below);
    }
#pragma unroll
    for (int distance = 1; distance < kEach; distance *= 2) {
#pragma unroll
      for (int j = 0; j < kEach; j += 2 * distance) partial[j] += partial[j + distance];
    }
    float sum = partial[0];
#pragma unroll
    for (int distance = 1; distance < kGroup; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
    return sum;
  }

  /// Bit j: value[j] is at least `bound`.
  __device__ std::uint32_t reaching(float bound) const {
    static_assert(kValues <= 32);
    std::uint32_t mask = 0;
#pragma unroll
    for (int j = 0; j < kValues; ++j) mask |= value[j] >= bound ? 1u << j : 0u;
    return mask;
  }

  /// The general way, for ties and for few experts: the best of all, K times. Uses the row up.
  __device__ void collect_one_by_one(std::int32_t top_k, int lane, TokenScratch& scratch) {
    for (int k = 0; k < top_k; ++k) {
      std::uint64_t best = 0;
#pragma unroll
      for (int j = 0; j < kValues; ++j) {
        const std::uint64_t own = candidate(value[j], expert(j, lane));
        best = own > best ? own : best;
      }
#pragma unroll
      for (int distance = 1; distance < kGroup; distance *= 2) {
        const std::uint64_t other = __shfl_xor_sync(kAllLanes, best, distance);
        best = other > best ? other : best;
      }
#pragma unroll
      for (int j = 0; j < kValues; ++j) {
        if (candidate(value[j], expert(j, lane)) != best) continue;
        scratch.expert[k] = expert(j, lane);
        value[j] = kAbsent;
      }
    }
  }
};

/// Lists the experts that the group's masks name. Returns how many there are, of which the first kRoom are listed.
template <int kGroup, class ExpertOf>
__device__ int list_experts(std::uint32_t mask, int lane, ExpertOf expert_of, TokenScratch& scratch) {
  int before = __popc(mask);
#pragma unroll
  for (int distance = 1; distance < kGroup; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, before, distance, kGroup);
    if (lane >= distance) before += other;
  }
  const int found = __shfl_sync(kAllLanes, before, kGroup - 1, kGroup);
  int place = before - __popc(mask);
  while (__any_sync(kAllLanes, mask != 0)) {
    if (mask != 0 && place < kRoom) scratch.expert[place] = expert_of(__ffs(static_cast<int>(mask)) - 1);
    mask &= mask - 1;
    ++place;
  }
  return found;
}

/// Sorts the group's values, high to low (bitonic sort; Batcher, 1968).
template <int kGroup>
__device__ float sort_descending(float value, int lane) {
#pragma unroll
  for (int run = 2; run <= kGroup; run *= 2) {
#pragma unroll
    for (int distance = run / 2; distance > 0; distance /= 2) {
      const float other = __shfl_xor_sync(kAllLanes, value, distance);
      const bool takes_larger = ((lane & run) == 0 || run == kGroup) == ((lane & distance) == 0);
      value = takes_larger ? fmaxf(value, other) : fminf(value, other);
    }
  }
  return value;
}

/// All lanes of a warp call it, each group with its token, whose logits begin at `first`; `valid` is false where a
/// group has none left.
template <int kGroup, int kChunks, bool kWhole>
__device__ void route_token(const TopKParams& p, Row<kGroup, kChunks>& row, std::int64_t first, std::int32_t token,
                            bool valid, int lane, TokenScratch& scratch, std::int32_t* histogram) {
  const float sorted = sort_descending<kGroup>(row.maximum(), lane);
  const float maximum = __shfl_sync(kAllLanes, sorted, 0, kGroup);
  // With fewer lanes in use than K, the bound falls to the lowest finite number: absent experts stay out.
  const float bound = fmaxf(__shfl_sync(kAllLanes, sorted, p.top_k - 1, kGroup), kLowest);
  const float inverse = p.scoring == Scoring::kSoftmax ? 1.0f / row.template exp_sum<kWhole>(maximum) : 0.0f;
  int found = list_experts<kGroup>(
      row.reaching(bound), lane, [lane](int j) { return Row<kGroup, kChunks>::expert(j, lane); }, scratch);
  if (__any_sync(kAllLanes, found > kRoom)) {
    __syncwarp();
    row.collect_one_by_one(p.top_k, lane, scratch);
    found = p.top_k;
  }
  for (int word = lane; word < p.member_words; word += kGroup) scratch.members[word] = 0;
  __syncwarp();
  for (int i = lane; i < found; i += kGroup) {
    scratch.key[i] = candidate(p.logits[first + scratch.expert[i]], scratch.expert[i]);
  }
  __syncwarp();
  for (int i = lane; i < found; i += kGroup) {
    const std::uint64_t own = scratch.key[i];
    int rank = 0;
    for (int other = 0; other < found; ++other) rank += scratch.key[other] > own;
    if (rank < p.top_k) scratch.chosen[rank] = own;
  }
  __syncwarp();
  const bool is_slot = valid && lane < p.top_k;
  const std::uint64_t chosen = scratch.chosen[lane];
  const auto expert = static_cast<std::int32_t>(~static_cast<std::uint32_t>(chosen));
  const float logit = ordered_value(static_cast<std::uint32_t>(chosen >> 32));
  const float score = ScoreView::exact_score(p.scoring, logit, maximum, inverse);
  double sum = 0.0;
  for (int k = 0; k < p.top_k; ++k) sum += static_cast<double>(__shfl_sync(kAllLanes, score, k, kGroup));
  if (is_slot) {
    atomicOr(&scratch.members[expert / 32], 1u << (expert % 32));
    atomicAdd(&histogram[expert], 1);
    const std::int32_t slot = token * p.top_k + lane;  // below 2^26
    p.chosen[slot] = expert;
    p.scores[slot] = score;
    p.gates[slot] = !p.normalise ? score : (sum > 0.0 ? static_cast<float>(static_cast<double>(score) / sum) : 0.0f);
  }
  __syncwarp();
  if (!valid) return;
  for (int word = lane; word < p.member_words; word += kGroup) {
    p.members[token * p.member_words + word] = scratch.members[word];
  }
  if (lane == 0 && p.scoring == Scoring::kSoftmax) {
    p.row_max[token] = maximum;
    p.row_inverse[token] = inverse;
  }
}

/// Counts are gathered in shared memory: adding each choice to the experts' few global counters at once would take
/// longer than all the rest.
template <int kGroup, int kChunks, bool kWhole>
__global__ void __launch_bounds__(kWarpLanes* kWarps, kChunks <= 2 ? 2 : 1) top_k_kernel(const TopKParams p) {
  extern __shared__ std::int32_t histogram[];
  constexpr int kTokens = kWarpLanes / kGroup;  // of a warp at once
  __shared__ TokenScratch scratch[kWarps * kTokens];
  for (int e = threadIdx.x; e < p.experts; e += blockDim.x) histogram[e] = 0;
  __syncthreads();
  const int lane = threadIdx.x % kGroup, group = threadIdx.x / kGroup;
  const auto stride = static_cast<std::int32_t>(gridDim.x) * kWarps * kTokens;
  std::int32_t token = static_cast<std::int32_t>(blockIdx.x) * kWarps * kTokens + group;
  for (; token - group % kTokens < p.tokens; token += stride) {  // the warp's first token
    const bool valid = token < p.tokens;
    const std::int64_t first = std::int64_t{valid ? token : 0} * p.experts;
    Row<kGroup, kChunks> row;
    row.template load<kWhole>(p.logits, first, p.experts, lane);
    route_token<kGroup, kChunks, kWhole>(p, row, first, token, valid, lane, scratch[group], histogram);
  }
  __syncthreads();
  for (int e = threadIdx.x; e < p.experts; e += blockDim.x) {
    if (histogram[e] != 0) atomicAdd(&p.counts[e], histogram[e]);
  }
}

}  // namespace top_k_detail

/// Whether the kernel takes a shape; others go through the portable text.
inline bool top_k_kernel_takes(const RouterConfig& config) {
  return config.experts % 4 == 0 && config.experts <= 1024 && config.top_k <= 32 && config.selection_bias.empty() &&
         config.groups.value_or(ExpertGroups{}).count == 1;
}

/// As many blocks as the GPU holds at once, so that few add their counts.
inline void launch_top_k(const TopKParams& params, int device, cudaStream_t stream) {
  using namespace top_k_detail;
  const std::size_t shared = static_cast<std::size_t>(params.experts) * sizeof(std::int32_t);
  int multiprocessors = 0;
  TATR_CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  const auto launch = [&](auto kernel) {
    int resident = 0;
    TATR_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, kWarpLanes * kWarps, shared));
    kernel<<<resident * multiprocessors, kWarpLanes * kWarps, shared, stream>>>(params);
  };
  const bool halves = params.top_k <= 16;
  if (params.experts <= 128) {
    halves ? launch(top_k_kernel<16, 1, false>) : launch(top_k_kernel<32, 1, false>);
  } else if (params.experts == 256 && halves) {
    launch(top_k_kernel<16, 2, true>);
  } else if (params.experts <= 256) {
    halves ? launch(top_k_kernel<16, 2, false>) : launch(top_k_kernel<32, 2, false>);
  } else if (params.experts == 512 && halves) {
    launch(top_k_kernel<16, 4, true>);
  } else if (params.experts <= 512) {
    halves ? launch(top_k_kernel<16, 4, false>) : launch(top_k_kernel<32, 4, false>);
  } else {
    launch(top_k_kernel<32, 8, false>);
  }
}

}  // namespace tatr
