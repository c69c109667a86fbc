// Deals assignments to their experts on a GPU. Rules that look at counts alone are decided meanwhile, by one more
// block; others sort the sample that bounds the search for fills.
#pragma once

#include "device/cuda_check.hpp"
#include "device/shared_memory.cuh"
#include "rounding/kernels/decide.cuh"
#include "rounding/kernels/find_fill.cuh"
#include "rounding/rank_key.hpp"

namespace tatr {

/// What the block beside the dealing ones does: decide, where counts suffice; else find what each expert needs if it
/// goes up.
enum class Meanwhile { kDecide, kNeedAll };

struct DealParams {
  const std::int32_t* chosen;  // [assignments]
  const float* gates;
  const std::int32_t* counts;  // [E]
  std::int64_t assignments;
  std::int32_t experts, top_k;
  std::int32_t* offsets;  // [E+1] out: of the experts' keys
  std::int32_t* cursor;   // [E] zero before; whoever sorts the keys zeroes it again
  std::uint64_t* keys;    // [assignments] out, by expert, in any order
  Meanwhile meanwhile;
  bool finds_fill;  // there will be a search: sample for it, and zero its counts
  FillSearch search;
};

/// Blocks that sort samples.
__host__ __device__ constexpr std::int32_t sample_blocks(std::int32_t experts) {
  return ceil_div(experts, fill_detail::kEach);
}

/// A block counts its kDecideThreads assignments by expert, claims that much room of each expert at once, then writes.
template <bool kSamples>
__global__ void __launch_bounds__(kDecideThreads) deal_own_keys(const DealParams p, const DecideParams decide) {
  extern __shared__ double deal_memory[];
  double* const deal_room = shared_memory_as<double>(deal_memory);
  if (blockIdx.x == 0) {
    if (p.meanwhile == Meanwhile::kDecide) {
      decide_in_block(decide, deal_room);
    } else {
      const NeedOfTarget need{decide.alone.loads, decide.tokens, nullptr, decide.need};
      for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) need(e);
    }
    return;
  }
  const std::int32_t samples = kSamples ? sample_blocks(p.experts) : 0;
  const std::int32_t block = static_cast<std::int32_t>(blockIdx.x) - 1 - samples;
  if constexpr (kSamples) {
    if (block < 0) {
      sample_experts(p.search, (block + samples) * fill_detail::kEach, reinterpret_cast<float*>(deal_room));
      return;
    }
  }
  std::int32_t* const offsets = reinterpret_cast<std::int32_t*>(deal_room);  // [E+1]
  std::int32_t* const local = offsets + p.experts + 1;  // [E] assignments of this block, then where they begin
  const std::int64_t assignment = std::int64_t{block} * kDecideThreads + threadIdx.x;
  const bool valid = assignment < p.assignments;
  const std::int32_t expert = valid ? p.chosen[assignment] : 0;
  const float gate = valid ? p.gates[assignment] : 0.0f;
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) local[e] = 0;
  scan_in_block(
      p.experts, [&](std::int32_t e) { return p.counts[e]; }, offsets);
  const std::int32_t place = valid ? atomicAdd(&local[expert], 1) : 0;
  __syncthreads();
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) {
    if (local[e] != 0) local[e] = offsets[e] + atomicAdd(&p.cursor[e], local[e]);
    if (block != 0) continue;
    p.offsets[e] = offsets[e];
    if constexpr (kSamples) p.search.counts[e * kFillCountStride] = 0;
  }
  if (block == 0 && threadIdx.x == 0) p.offsets[p.experts] = offsets[p.experts];
  __syncthreads();
  if (valid) p.keys[local[expert] + place] = rank_key(expert, rank_place(gate, assignment / p.top_k));
}

inline void launch_deal(const DealParams& deal, const DecideParams& decide, cudaStream_t stream) {
  const std::size_t own = (2 * static_cast<std::size_t>(deal.experts) + 1) * sizeof(std::int32_t);
  const auto launch = [&](auto kernel, std::int32_t samples, std::size_t sample_bytes) {
    const auto blocks = static_cast<unsigned>(1 + samples + ceil_div<std::int64_t>(deal.assignments, kDecideThreads));
    allow_shared_memory(kernel);
    kernel<<<blocks, kDecideThreads, std::max({own, decide.room(), sample_bytes}), stream>>>(deal, decide);
    TATR_CHECK_LAUNCH(deal_own_keys);
  };
  if (deal.finds_fill) {
    launch(deal_own_keys<true>, sample_blocks(deal.experts), kSampleBytes);
  } else {
    launch(deal_own_keys<false>, 0, 0);
  }
}

}  // namespace tatr
