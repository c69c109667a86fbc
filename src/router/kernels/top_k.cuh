// Top-k routing on a GPU: one warp a token, one pass over the logits. Same bits as the portable text in
// router/routing.cu.
//
// Floor at T = 16384, E = 256: 16.8 MB of logits at 3.0 TB/s, 5.6 us. What a warp issues for a token (8 exponentials a
// lane at about 26 instructions, K rounds of selection at about 30) takes about as long again, so the two must overlap.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/exact_math.hpp"
#include "router/routing.hpp"

namespace tatr {

struct TopKParams {
  const float* logits;  // [T, E]; E a multiple of 4, so that rows are aligned to 16 bytes
  std::int32_t tokens, experts, top_k, member_words;
  Scoring scoring;
  bool normalise;
  std::int32_t* chosen;
  float* gates;
  float* scores;
  std::uint32_t* members;
  std::int32_t* counts;  // zeroed before
  float* row_max;
  float* row_inverse;
};

namespace top_k_detail {

constexpr int kWarps = 8;  // per block
constexpr unsigned kAllLanes = 0xFFFFFFFFu;

/// Orders like the float, with -0 equal to +0; 0 stands below every finite number.
__device__ inline std::uint32_t order_key(float value) {
  const std::uint32_t bits = float_bits(value + 0.0f);
  return bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFu : 0x80000000u);
}

/// One token's logits, four neighbouring experts a lane and chunk: expert 128 chunk + 4 lane + i.
template <int kChunks>
struct Row {
  float4 part[kChunks];

  __device__ void load(const TopKParams& p, std::int64_t token, int lane) {
    const auto* row = reinterpret_cast<const float4*>(p.logits + token * p.experts);
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      if (128 * c + 4 * lane < p.experts) part[c] = __ldcs(row + 32 * c + lane);
    }
  }
  __device__ bool holds(int chunk, int lane, std::int32_t experts) const { return 128 * chunk + 4 * lane < experts; }
  __device__ static float get(const float4& four, int i) {
    return i == 0 ? four.x : i == 1 ? four.y : i == 2 ? four.z : four.w;
  }
};

/// The sum of row_exp_sum in router/routing.cu: a partial sum for each expert mod 128, then neighbours joined in a
/// tree.
template <int kChunks>
__device__ float exp_sum(const Row<kChunks>& row, float maximum, int lane, std::int32_t experts) {
  float partial[4] = {};
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    if (!row.holds(c, lane, experts)) continue;
#pragma unroll
    for (int i = 0; i < 4; ++i) partial[i] += exact_exp(Row<kChunks>::get(row.part[c], i) - maximum);
  }
  float sum = (partial[0] + partial[1]) + (partial[2] + partial[3]);
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
  return sum;
}

/// The lane's best key and the lowest expert that has it.
template <int kChunks>
struct LaneBest {
  std::uint32_t key[4 * kChunks];
  std::uint32_t best;
  std::int32_t expert;

  __device__ void fill(const Row<kChunks>& row, int lane, std::int32_t experts) {
#pragma unroll
    for (int j = 0; j < 4 * kChunks; ++j) {
      key[j] = row.holds(j / 4, lane, experts) ? order_key(Row<kChunks>::get(row.part[j / 4], j % 4)) : 0;
    }
    find(lane);
  }
  __device__ void find(int lane) {
    best = key[0];
    int at = 0;
#pragma unroll
    for (int j = 1; j < 4 * kChunks; ++j) {
      if (key[j] > best) {
        best = key[j];
        at = j;
      }
    }
    expert = 128 * (at / 4) + 4 * lane + at % 4;
  }
  __device__ void remove(int lane) {
#pragma unroll
    for (int j = 0; j < 4 * kChunks; ++j) {
      if (128 * (j / 4) + 4 * lane + j % 4 == expert) key[j] = 0;
    }
    find(lane);
  }
};

template <int kChunks>
__device__ void route_token(const TopKParams& p, const Row<kChunks>& row, std::int64_t token, int lane,
                            std::int32_t* histogram) {
  LaneBest<kChunks> lane_best;
  lane_best.fill(row, lane, p.experts);

  float maximum = 0.0f, inverse = 0.0f;
  std::int32_t my_expert = 0;
  std::uint32_t my_key = 0, member_word = 0;
  for (int k = 0; k < p.top_k; ++k) {
    const std::uint32_t key = __reduce_max_sync(kAllLanes, lane_best.best);
    const std::int32_t expert = __reduce_min_sync(kAllLanes, lane_best.best == key ? lane_best.expert : 1 << 30);
    if (lane_best.best == key && lane_best.expert == expert) lane_best.remove(lane);
    if (expert / 32 == lane) member_word |= 1u << (expert % 32);
    if (k == lane) {
      my_expert = expert;
      my_key = key;
    }
  }
  const float my_logit = float_from_bits(my_key ^ ((my_key >> 31) != 0 ? 0x80000000u : 0xFFFFFFFFu));
  if (p.scoring == Scoring::kSoftmax) {
    maximum = __shfl_sync(kAllLanes, my_logit, 0);
    inverse = 1.0f / exp_sum(row, maximum, lane, p.experts);
  }
  const float score =
      p.scoring == Scoring::kSigmoid ? exact_sigmoid(my_logit) : exact_exp(my_logit - maximum) * inverse;
  double sum = 0.0;
  for (int k = 0; k < p.top_k; ++k) sum += static_cast<double>(__shfl_sync(kAllLanes, score, k));

  if (lane < p.top_k) {
    const std::int64_t slot = token * p.top_k + lane;
    p.chosen[slot] = my_expert;
    p.scores[slot] = score;
    p.gates[slot] = !p.normalise ? score : (sum > 0.0 ? static_cast<float>(static_cast<double>(score) / sum) : 0.0f);
    atomicAdd(&histogram[my_expert], 1);
  }
  if (lane < p.member_words) p.members[token * p.member_words + lane] = member_word;
  if (lane == 0 && p.scoring == Scoring::kSoftmax) {
    p.row_max[token] = maximum;
    p.row_inverse[token] = inverse;
  }
}

/// Warps walk over the tokens and load the next row before they work on the last. Counts are gathered in shared memory:
/// adding each choice to the experts' few global counters at once would take longer than all the rest.
template <int kChunks>
__global__ void __launch_bounds__(32 * kWarps) top_k_kernel(const TopKParams p) {
  extern __shared__ std::int32_t histogram[];
  for (int e = threadIdx.x; e < p.experts; e += blockDim.x) histogram[e] = 0;
  __syncthreads();
  const int lane = threadIdx.x % 32;
  const std::int64_t stride = std::int64_t{gridDim.x} * kWarps;
  std::int64_t token = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  Row<kChunks> row;
  if (token < p.tokens) row.load(p, token, lane);
  while (token < p.tokens) {
    const std::int64_t next = token + stride;
    Row<kChunks> next_row;
    if (next < p.tokens) next_row.load(p, next, lane);
    route_token(p, row, token, lane, histogram);
    row = next_row;
    token = next;
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

/// `blocks`: enough to fill the GPU once, so that few blocks add their counts.
inline void launch_top_k(const TopKParams& params, int blocks, cudaStream_t stream) {
  using namespace top_k_detail;
  const std::size_t shared = static_cast<std::size_t>(params.experts) * sizeof(std::int32_t);
  const auto launch = [&](auto kernel) { kernel<<<blocks, 32 * kWarps, shared, stream>>>(params); };
  if (params.experts <= 128) {
    launch(top_k_kernel<1>);
  } else if (params.experts <= 256) {
    launch(top_k_kernel<2>);
  } else if (params.experts <= 512) {
    launch(top_k_kernel<4>);
  } else {
    launch(top_k_kernel<8>);
  }
}

}  // namespace tatr
