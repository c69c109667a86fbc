// Deals assignments to their experts on a GPU. Rules that look at counts alone are decided meanwhile, by one more
// block.
#pragma once

#include "rounding/kernels/decide.cuh"
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
  std::int32_t* offsets;      // [E+1] out: of the experts' keys
  std::int32_t* cursor;       // [E] zero before; whoever sorts the keys zeroes it again
  std::uint64_t* keys;        // [assignments] out, by expert, in any order
  std::int32_t* fill_counts;  // [E] out: zero, for the search for fills
  Meanwhile meanwhile;
};

/// A block counts its kDecideThreads assignments by expert, claims that much room of each expert at once, then writes.
__global__ void __launch_bounds__(kDecideThreads) deal_own_keys(const DealParams p, const DecideParams decide) {
  extern __shared__ double deal_room[];
  if (blockIdx.x == gridDim.x - 1) {
    if (p.meanwhile == Meanwhile::kDecide) {
      decide_in_block(decide, deal_room);
    } else {
      const NeedOfTarget need{decide.alone.loads, decide.tokens, nullptr, decide.need};
      for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) need(e);
    }
    return;
  }
  std::int32_t* const offsets = reinterpret_cast<std::int32_t*>(deal_room);  // [E+1]
  std::int32_t* const local = offsets + p.experts + 1;  // [E] assignments of this block, then where they begin
  const std::int64_t assignment = std::int64_t{blockIdx.x} * kDecideThreads + threadIdx.x;
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
    if (blockIdx.x != 0) continue;
    p.offsets[e] = offsets[e];
    p.fill_counts[e] = 0;
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) p.offsets[p.experts] = offsets[p.experts];
  __syncthreads();
  if (valid) p.keys[local[expert] + place] = rank_key(expert, rank_place(gate, assignment / p.top_k));
}

inline void launch_deal(const DealParams& deal, const DecideParams& decide, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_div<std::int64_t>(deal.assignments, kDecideThreads)) + 1;
  const std::size_t shared =
      std::max((2 * static_cast<std::size_t>(deal.experts) + 1) * sizeof(std::int32_t), decide.room());
  allow_shared_memory(deal_own_keys);
  deal_own_keys<<<blocks, kDecideThreads, shared, stream>>>(deal, decide);
}

}  // namespace tatr
