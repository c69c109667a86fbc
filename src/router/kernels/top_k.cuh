// Top-k routing on a GPU: a few lanes a token, one pass over the logits. Same bits as the portable text in
// router/routing.cu.
//
// Floor at T = 16384, E = 256: 16.8 MB of logits at 3.0 TB/s, 5.6 us, and 3.5 to start a kernel. Every warp has room
// for rows of its own in shared memory, asks for the first ones early, 32 KB of a block at a time, and for the next as
// soon as it has read them. Instructions take 4.5 us, beside the reading but for the last rows: 1130 for four tokens,
// of which 384 are exponentials. Eight lanes share a token where K <= 8, so that what is done once a token is done for
// four at a time. Selection looks at few values: the K-th best of the maxima of parts of a row bounds the K-th best of
// all from below, and K + 3 of 256 reach it at most, on average.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/integer_math.hpp"
#include "device/cuda_check.hpp"
#include "device/shared_memory.cuh"
#include "router/kernels/candidates.cuh"
#include "router/kernels/staged_rows.cuh"
#include "router/routing.hpp"

namespace tatr {

struct TopKParams {
  LogitView logits;  // [T, E], finite; rows are a multiple of 16 bytes
  std::int32_t tokens, experts, top_k, member_words;
  Scoring scoring;
  bool normalise;
  std::int32_t* chosen;
  float* gates;
  float* scores;
  std::uint32_t* members;
  std::int32_t* counts;
  std::uint64_t* tallies;  // [E] zero between launches: a count, and above 2^32 how many blocks have added to it
  float* row_max;
  float* row_inverse;
};

namespace top_k_detail {

constexpr int kMostWarps = 32;  // per block

/// All lanes of a warp call it, each group with its token. The rows are staged; those from `next_token` on are asked
/// for as soon as these have been read.
template <class Number, int kGroup, bool kWhole>
__device__ void route_tokens(const TopKParams& p, const Number* logits, std::int32_t first_token,
                             std::int32_t next_token, WarpMemory<Number, kGroup>& memory, std::int32_t* histogram) {
  const int lane = static_cast<int>(threadIdx.x % kGroup), group = static_cast<int>(threadIdx.x % kWarpLanes / kGroup);
  const std::int32_t experts = kWhole ? kGroup * kFoursEach * 4 : p.experts, token = first_token + group;
  const Row<Number, kGroup, kWhole> row{memory.rows + group * experts, experts / 4, lane};
  TokenScratch<kGroup>& scratch = memory.token[group];
  for (int i = lane; i < kRoom; i += kGroup) scratch.key[i] = kAbsent;
  scratch.members[lane] = 0;

  float best[2];
  row.maxima(best);
  sort_descending<kGroup>(best, lane);
  const float maximum = __shfl_sync(kAllLanes, best[0], 0, kGroup) + 0.0f;
  const float ranked = p.top_k % 2 == 1 ? best[0] : best[1];
  const float bound = __shfl_sync(kAllLanes, ranked, (p.top_k - 1) / 2, kGroup);  // kAbsent: all reach it
  __syncwarp();
  const bool valid = token < p.tokens;  // or else the row is whatever was there
  int found = row.list(valid ? row.reaching(bound) : 0, scratch);
  if (__any_sync(kAllLanes, found > kRoom)) {
    __syncwarp();
    row.list_one_by_one(p.top_k, scratch);
    found = p.top_k;
  }
  const float inverse = p.scoring == Scoring::kSoftmax ? 1.0f / row.exp_sum(maximum) : 0.0f;
  __syncwarp();  // the rows have been read, and the candidates are listed
  if (next_token < p.tokens) stage_rows(logits, p.tokens, experts, next_token, memory);

  constexpr int kAll = kRoom / kGroup, kMostly = std::min(2, kAll);  // of 256, more than 16 reach it in 1 % of rows
  if (__any_sync(kAllLanes, found > kMostly * kGroup)) {
    sort_keys<kAll>(lane, scratch);
  } else {
    sort_keys<kMostly>(lane, scratch);
  }
  const bool is_slot = valid && lane < p.top_k;
  Candidate chosen = scratch.listed[place_of(scratch.key[lane])];
  if (__any_sync(kAllLanes, is_slot && is_unsure(lane, scratch))) chosen = of_exact_rank(lane, is_slot, found, scratch);
  const float score = is_slot ? ScoreView::exact_score(p.scoring, chosen.value, maximum, inverse) : 0.0f;
  scratch.score[lane] = static_cast<double>(score);
  if (is_slot) {
    atomicOr(&scratch.members[chosen.expert / 32], 1u << (chosen.expert % 32));
    atomicAdd(&histogram[chosen.expert], 1);
  }
  __syncwarp();
  if (!valid) return;
  double sum = 0.0;
#pragma unroll
  for (int k = 0; k < kGroup; ++k) sum += scratch.score[k];
  if (is_slot) {
    const std::int32_t slot = token * p.top_k + lane;  // kMaxTokens x 32 at most
    p.chosen[slot] = chosen.expert;
    p.scores[slot] = score;
    p.gates[slot] = !p.normalise ? score : (sum > 0.0 ? static_cast<float>(static_cast<double>(score) / sum) : 0.0f);
  }
  if (lane < p.member_words) p.members[token * p.member_words + lane] = scratch.members[lane];
  if (lane == 0 && p.scoring == Scoring::kSoftmax) {
    p.row_max[token] = maximum;
    p.row_inverse[token] = inverse;
  }
}

/// Adds a block's count of an expert to all others'. The last block to do so has the count of all.
__device__ inline void add_count(const TopKParams& p, std::int32_t expert, std::int32_t count) {
  const std::uint64_t own = std::uint64_t{1} << 32 | static_cast<std::uint32_t>(count);
  static_assert(sizeof(std::uint64_t) == sizeof(unsigned long long));
  const std::uint64_t sum = own + atomicAdd(reinterpret_cast<unsigned long long*>(&p.tallies[expert]), own);
  if (sum >> 32 != gridDim.x) return;
  p.counts[expert] = static_cast<std::int32_t>(sum);
  p.tallies[expert] = 0;
}

/// Counts are gathered in shared memory: adding each choice to the experts' few global counters at once would take
/// longer than all the rest.
template <class Number, int kGroup, bool kWhole>
__global__ void __launch_bounds__(kWarpLanes* kMostWarps, 1) top_k_kernel(const TopKParams p, const Number* logits) {
  extern __shared__ uint4 top_k_memory[];
  const int warps = static_cast<int>(blockDim.x / kWarpLanes), warp = static_cast<int>(threadIdx.x / kWarpLanes);
  static_assert(alignof(WarpMemory<Number, kGroup>) == alignof(uint4), "what bulk copies ask for");
  auto* const of_warps = shared_memory_as<WarpMemory<Number, kGroup>>(top_k_memory);
  auto* const histogram = reinterpret_cast<std::int32_t*>(of_warps + warps);
  WarpMemory<Number, kGroup>& memory = of_warps[warp];
  const auto blocks = static_cast<std::int32_t>(gridDim.x);
  const std::int32_t stride = blocks * warps * memory.kTokens;
  // Neighbouring warps' rows go to different blocks: few rows go to all of them.
  std::int32_t token = (static_cast<std::int32_t>(blockIdx.x) + blocks * warp) * memory.kTokens;
  for (int e = threadIdx.x; e < p.experts; e += blockDim.x) histogram[e] = 0;
  prepare_staging(memory);
  __syncthreads();  // before the rows are asked for, which takes a warp's first lane some time
  if (token < p.tokens) {
    if (const int at_once = warps_at_once<Number, kGroup>(p.experts); warp >= at_once) pace(of_warps[warp - at_once]);
    stage_rows(logits, p.tokens, p.experts, token, memory);
  }
  for (std::uint32_t parity = 0; token < p.tokens; token += stride, parity ^= 1) {
    await_rows(memory, parity);
    route_tokens<Number, kGroup, kWhole>(p, logits, token, token + stride, memory, histogram);
  }
  __syncthreads();
  for (int e = threadIdx.x; e < p.experts; e += blockDim.x) add_count(p, e, histogram[e]);
}

/// One block a multiprocessor, with as many warps as there is shared memory for.
template <class Number, int kGroup, bool kWhole>
void launch_kernel(const TopKParams& params, const Number* logits, int device, cudaStream_t stream) {
  using Memory = WarpMemory<Number, kGroup>;
  const auto kernel = top_k_kernel<Number, kGroup, kWhole>;
  int multiprocessors = 0;
  TATR_CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  const int of_experts = params.experts * static_cast<int>(sizeof(std::int32_t)), of_warp = sizeof(Memory);
  const int warps = std::min(kMostWarps, (allow_shared_memory(kernel) - of_experts) / of_warp);
  const int blocks = std::min(multiprocessors, ceil_div(params.tokens, Memory::kTokens));
  const auto shared = static_cast<std::size_t>(warps * of_warp + of_experts);
  kernel<<<blocks, warps * kWarpLanes, shared, stream>>>(params, logits);
  TATR_CHECK_LAUNCH(top_k_kernel);
}

/// 8, 16 or 32 lanes a token: the fewest that have a lane for each choice and 32 logits each.
template <class Number>
void launch_for(const TopKParams& params, const Number* logits, int device, cudaStream_t stream) {
  const std::int32_t experts = params.experts;
  const auto kernel = params.top_k <= 8 && experts <= 256
                          ? (experts == 256 ? launch_kernel<Number, 8, true> : launch_kernel<Number, 8, false>)
                      : params.top_k <= 16 && experts <= 512
                          ? (experts == 512 ? launch_kernel<Number, 16, true> : launch_kernel<Number, 16, false>)
                          : launch_kernel<Number, 32, false>;
  kernel(params, logits, device, stream);
}

}  // namespace top_k_detail

/// Whether the kernel takes a shape; others go through the portable text.
inline bool top_k_kernel_takes(const RouterConfig& config) {
  const std::int64_t unit = config.logits == LogitType::kBf16 ? 8 : 4;
  return config.experts % unit == 0 && config.experts <= top_k_detail::kMostExperts && config.top_k <= 32 &&
         config.tokens > 0 && config.selection_bias.empty() && config.groups.value_or(ExpertGroups{}).count == 1;
}

inline void launch_top_k(const TopKParams& params, int device, cudaStream_t stream) {
  if (params.logits.bf16 != nullptr) {
    top_k_detail::launch_for(params, params.logits.bf16, device, stream);
  } else {
    top_k_detail::launch_for(params, params.logits.fp32, device, stream);
  }
}

}  // namespace tatr
