// What is done expert by expert on a GPU, a block each for its own tokens and for its fills: sort the own keys, join
// the fill candidates, sum what is at stake, write the rows.
//
// Floor at T = 16384, E = 256, K = 8: 131072 keys read, written sorted and written as rows, 3 MB that stay in L2: 1 us.
// Latency binds: sorting 512 keys is four dependent merges of up to eight steps each, after 15 steps within warps.
#pragma once

#include "device/cuda_check.hpp"
#include "device/shared_memory.cuh"
#include "rounding/dispatch.cuh"
#include "rounding/kernels/find_fill.cuh"
#include "rounding/kernels/sort.cuh"
#include "rounding/targets.cuh"

namespace tatr {

/// The blocks of a launch.
enum class Blocks { kOwn, kBoth };

struct ExpertParams {
  std::int32_t experts;
  const std::int32_t* own_offsets;  // [E+1]
  std::int32_t* cursor;             // [E] zeroed with sort_own
  std::uint64_t* own_keys;
  std::uint64_t* spare_keys;
  StakeOfExpert stake;  // with the loads
  FillSearch search;
  Fill fill;
  const std::int32_t* row_offsets;  // [E+1]
  std::int32_t* token;
  float* gate;
  Blocks blocks;
  bool sort_own, sum_own;    // for the own tokens: sort them; sum what is at stake
  bool join_fill, sum_fill;  // for the fills
  bool write;                // the rows of whichever blocks there are
};

/// An expert's `need` best non-members in ranking order, in shared memory, from what was collected. Ends with a
/// barrier.
__device__ inline const std::uint64_t* join_fill(const FillSearch& search, int expert, int need, std::uint64_t* room) {
  const int count = search.counts[expert * kFillCountStride];
  if (count < need || count > search.room) return search_whole(search, expert, need, room);
  const std::uint64_t* const found = search.found + static_cast<std::int64_t>(expert) * search.room;
  for (int i = threadIdx.x; i < count; i += blockDim.x) room[i] = found[i];
  __syncthreads();
  const std::uint64_t* const sorted = sort_in_shared(room, count);
  if (key_score(sorted[need - 1]) >= search.bounds[expert]) return sorted;
  __syncthreads();  // below the bound some may be missing
  return search_whole(search, expert, need, room);
}

/// kNormalised: an added row's gate is over the sum of its token's. A kernel of its own, so that the sum and the
/// division cost the other no registers.
template <bool kNormalised>
__global__ void __launch_bounds__(kSortThreads) process_expert(const ExpertParams p) {
  extern __shared__ std::uint64_t sort_memory[];
  std::uint64_t* const sort_room = shared_memory_as<std::uint64_t>(sort_memory);
  const int expert = static_cast<int>(blockIdx.x);
  const bool for_own = blockIdx.y == 0;
  const std::int32_t first = p.own_offsets[expert], count = p.own_offsets[expert + 1] - first;
  const bool fills = !for_own && (p.join_fill || p.fill == Fill::kNextBest);
  const std::int32_t need = fills ? p.search.need[expert] : 0;
  std::uint64_t* const fill_keys = p.search.keys + static_cast<std::int64_t>(expert) * p.search.stride;
  const GateOfAdded added = kNormalised ? p.search.gate : GateOfAdded{};
  RowSource source{p.stake.loads(expert).kept, need, p.fill, p.own_keys + first, fill_keys, added};

  if (for_own && p.sort_own) {
    if (threadIdx.x == 0) p.cursor[expert] = 0;
    source.own = sort_keys(p.own_keys + first, p.spare_keys + first, count, sort_room);
    if (p.sum_own && threadIdx.x == 0) p.stake(expert, source.own);
  }
  if (!for_own && p.join_fill) {
    if (need > 0) {
      source.fills = join_fill(p.search, expert, need, sort_room);
      for (std::int32_t i = threadIdx.x; !p.write && i < need; i += blockDim.x) fill_keys[i] = source.fills[i];
    }
    if (p.sum_fill && threadIdx.x == 0) p.search.mass[expert] = added.sum(source.fills, need);
  }
  if (!p.write) return;
  const std::int32_t row = p.row_offsets[expert], rows = p.row_offsets[expert + 1] - row;
  const std::int32_t own_rows =
      p.fill == Fill::kDuplicate ? rows : min(rows, source.kept);  // a copy is the owner's row
  const std::int32_t last = for_own ? own_rows : rows;
  for (std::int32_t rank = (for_own ? 0 : own_rows) + threadIdx.x; rank < last; rank += blockDim.x) {
    source.write(rank, p.token + row + rank, p.gate + row + rank);
  }
}

inline void launch_process(const ExpertParams& params, cudaStream_t stream) {
  const auto kernel = params.search.gate.is_normalised() ? process_expert<true> : process_expert<false>;
  TATR_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSortBytes));
  const dim3 blocks(static_cast<unsigned>(params.experts), params.blocks == Blocks::kBoth ? 2 : 1);
  kernel<<<blocks, kSortThreads, kSortBytes, stream>>>(params);
  TATR_CHECK_LAUNCH(process_expert);
}

}  // namespace tatr
