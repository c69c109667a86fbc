// Rows of router logits in a GPU's shared memory: how they get there, and what a few lanes read off one of them.
#pragma once

#include <cuda_pipeline.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cuda/ptx>

#include "core/exact_math.hpp"
#include "router/kernels/candidates.cuh"
#include "router/kernels/logits.cuh"

namespace tatr::top_k_detail {

constexpr int kWarpLanes = 32;
constexpr int kFoursEach = 8;  // a lane's share of a row, in fours of neighbouring experts

/// What a warp keeps in shared memory: its rows, as they are in global memory, one behind the other.
template <class Number, int kGroup>
struct WarpMemory {
  static constexpr int kTokens = kWarpLanes / kGroup;
  alignas(16) Number rows[kTokens * kGroup * kFoursEach * 4];
  TokenScratch<kGroup> token[kTokens];
  std::uint64_t arrived;  // barrier: a phase for each time that rows were asked for
};

// In code for sm_90 and later, rows come by bulk copies, each asked for by one lane: others spend no instructions on
// it.

template <class Number, int kGroup>
__device__ void prepare_staging([[maybe_unused]] WarpMemory<Number, kGroup>& memory) {
#if __CUDA_ARCH__ >= 900
  if (threadIdx.x % kWarpLanes != 0) return;
  cuda::ptx::mbarrier_init(&memory.arrived, 1);
  cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
#endif
}

/// How many warps of a block ask for their first rows at once; each other one awaits those of the warp that many before
/// it. If all asked at once, memory would serve them in any order, and most would come late.
template <class Number, int kGroup>
__device__ int warps_at_once(std::int32_t experts) {
  constexpr int kBytes = 32768, kExpert = WarpMemory<Number, kGroup>::kTokens * static_cast<int>(sizeof(Number));
  return max(1, kBytes / (kExpert * experts));
}

/// Waits for another warp's first rows, but not for ever: it may have gone on to later ones, which look the same.
template <class Number, int kGroup>
__device__ void pace([[maybe_unused]] WarpMemory<Number, kGroup>& other) {
#if __CUDA_ARCH__ >= 900
  for (int attempt = 0; attempt < 64 && !cuda::ptx::mbarrier_try_wait_parity(&other.arrived, 0); ++attempt) {
  }
#endif
}

/// Asks for the rows from `first_token` on.
template <class Number, int kGroup>
__device__ void stage_rows(const Number* logits, std::int32_t tokens, std::int32_t experts, std::int32_t first_token,
                           WarpMemory<Number, kGroup>& memory) {
  const int values = min(memory.kTokens, tokens - first_token) * experts;
  const int lane = static_cast<int>(threadIdx.x % kWarpLanes);
  const Number* const from = logits + std::int64_t{first_token} * experts;
#if __CUDA_ARCH__ >= 900
  if (lane != 0) return;
  using namespace cuda::ptx;
  const auto bytes = static_cast<std::uint32_t>(values * sizeof(Number));
  fence_proxy_async(space_shared);  // the rows before have been read
  mbarrier_arrive_expect_tx(sem_release, scope_cta, space_shared, &memory.arrived, bytes);
  cp_async_bulk(space_cluster, space_global, memory.rows, from, bytes, &memory.arrived);
#else
  constexpr int kSegment = 16 / sizeof(Number);
  for (int i = lane * kSegment; i < values; i += kWarpLanes * kSegment) {
    __pipeline_memcpy_async(memory.rows + i, from + i, 16);
  }
  __pipeline_commit();
#endif
}

/// All lanes; `parity` is that of how often rows have been awaited before.
template <class Number, int kGroup>
__device__ void await_rows([[maybe_unused]] WarpMemory<Number, kGroup>& memory, [[maybe_unused]] std::uint32_t parity) {
#if __CUDA_ARCH__ >= 900
  while (!cuda::ptx::mbarrier_try_wait_parity(&memory.arrived, parity)) {
  }
#else
  __pipeline_wait_prior(0);
#endif
  __syncwarp();
}

__device__ inline float4 staged_four(const float* row) { return *reinterpret_cast<const float4*>(row); }

__device__ inline float4 staged_four(const std::uint16_t* row) {
  return four_of_bf16(*reinterpret_cast<const uint2*>(row));
}

__device__ inline float staged_value(float value) { return value; }

__device__ inline float staged_value(std::uint16_t bits) { return float_from_bits(std::uint32_t{bits} << 16); }

/// A lane's part of its token's logits, every kGroup-th four. Read from shared memory each time: registers are few.
template <class Number, int kGroup, bool kWhole>
struct Row {
  static constexpr int kFours = kGroup * kFoursEach;
  static constexpr int kSums = 32 / kGroup;  // fours of partial sums
  const Number* staged;
  std::int32_t fours;  // of the row
  int lane;

  __device__ bool has(int i) const { return kWhole || lane + kGroup * i < fours; }
  __device__ float4 four(int i) const { return staged_four(staged + 4 * (lane + kGroup * i)); }

  /// Value j of the lane, of four j / 4.
  __device__ Candidate candidate(int j) const {
    const std::int32_t expert = 4 * (lane + (j >> 2) * kGroup) + (j & 3);
    return {staged_value(staged[expert]) + 0.0f, expert};
  }

  /// Of the lane's first, third, ... fours, and of its others.
  __device__ void maxima(float (&best)[2]) const {
    best[0] = best[1] = kAbsent;
#pragma unroll
    for (int i = 0; i < kFoursEach; ++i) {
      if (!has(i)) continue;
      const float4 f = four(i);
      best[i % 2] = fmaxf(best[i % 2], fmaxf(fmaxf(f.x, f.y), fmaxf(f.z, f.w)));
    }
  }

  /// The sum of row_exp_sum in router/row.hpp: a partial sum for each expert mod 128, then neighbours joined in a tree.
  __device__ float exp_sum(float maximum) const {
    float sum[kSums];
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
      float4 partial{};
#pragma unroll
      for (int i = s; i < kFoursEach; i += kSums) {
        if (!has(i)) continue;
        const float4 f = four(i);
        const float4 term{softmax_term(f.x - maximum), softmax_term(f.y - maximum), softmax_term(f.z - maximum),
                          softmax_term(f.w - maximum)};
        partial =
            i == s ? term : float4{partial.x + term.x, partial.y + term.y, partial.z + term.z, partial.w + term.w};
      }
      sum[s] = (partial.x + partial.y) + (partial.z + partial.w);
    }
#pragma unroll
    for (int distance = 1; distance < kGroup; distance *= 2) {
#pragma unroll
      for (int s = 0; s < kSums; ++s) sum[s] += __shfl_xor_sync(kAllLanes, sum[s], distance);
    }
#pragma unroll
    for (int distance = 1; distance < kSums; distance *= 2) {
#pragma unroll
      for (int s = 0; s < kSums; s += 2 * distance) sum[s] += sum[s + distance];
    }
    return sum[0];
  }

  /// Bit 31 - j: value j is at least `bound`.
  __device__ std::uint32_t reaching(float bound) const {
    const float least = -(0.0f - bound);  // -0 for either zero: a zero of either sign less this is +0
    std::uint32_t below[2] = {};  // by the signs of differences; of each half, so that one does not wait for the other
#pragma unroll
    for (int i = 0; i < kFoursEach; ++i) {
      std::uint32_t& half = below[2 * i / kFoursEach];
      if (has(i)) {
        const float4 f = four(i);
        for (const float value : {f.x, f.y, f.z, f.w}) half = __funnelshift_l(float_bits(value - least), half, 1);
      } else {
        half = half << 4 | 0xFu;
      }
    }
    return ~(below[0] << 16 | below[1]);
  }

  /// Lists the values that the group's masks name. Returns how many there are, of which the first kRoom are listed.
  __device__ int list(std::uint32_t mask, TokenScratch<kGroup>& scratch) const {
    const int own = __popc(mask);
    int before = own;
#pragma unroll
    for (int distance = 1; distance < kGroup; distance *= 2) {
      const int other = __shfl_up_sync(kAllLanes, before, distance, kGroup);
      if (lane >= distance) before += other;
    }
    const int found = __shfl_sync(kAllLanes, before, kGroup - 1, kGroup);
    for (int place = before - own; mask != 0 && place < kRoom; ++place) {
      const int j = __clz(static_cast<int>(mask));
      mask &= ~(0x80000000u >> j);
      put(candidate(j), place, scratch);
    }
    return found;
  }

  /// The general way, for many equal logits and for K near 32: lists the best of all, K times.
  __device__ void list_one_by_one(std::int32_t top_k, TokenScratch<kGroup>& scratch) const {
    constexpr int kValues = 4 * kFoursEach;
    for (int i = lane; i < kRoom; i += kGroup) scratch.key[i] = kAbsent;
    float value[kValues];
#pragma unroll
    for (int j = 0; j < kValues; ++j) value[j] = lane + j / 4 * kGroup < fours ? candidate(j).value : kAbsent;
    __syncwarp();
    for (int k = 0; k < top_k; ++k) {
      float best = value[0];
#pragma unroll
      for (int j = 1; j < kValues; ++j) best = fmaxf(best, value[j]);
#pragma unroll
      for (int distance = 1; distance < kGroup; distance *= 2) {
        best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, distance));
      }
      int own = kValues;  // the first of the best: experts rise with j
#pragma unroll
      for (int j = kValues - 1; j >= 0; --j) own = value[j] == best ? j : own;
      const std::int32_t expert = own < kValues ? candidate(own).expert : kMostExperts;
      std::int32_t lowest = expert;
#pragma unroll
      for (int distance = 1; distance < kGroup; distance *= 2) {
        lowest = min(lowest, __shfl_xor_sync(kAllLanes, lowest, distance));
      }
      if (expert == lowest && best > kAbsent) put({best, expert}, k, scratch);
#pragma unroll
      for (int j = 0; j < kValues; ++j) value[j] = expert == lowest && j == own ? kAbsent : value[j];
    }
  }

  __device__ static void put(Candidate candidate, int place, TokenScratch<kGroup>& scratch) {
    scratch.listed[place] = candidate;
    scratch.key[place] = candidate.template key<Number>(place);
  }
};

}  // namespace tatr::top_k_detail
