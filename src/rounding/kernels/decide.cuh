// A strategy's targets on a GPU, and what follows from them for every expert: the work of one block, for experts are
// few and most rules look at all of them.
#pragma once

#include <algorithm>
#include <cub/block/block_scan.cuh>

#include "core/integer_math.hpp"
#include "device/cuda_check.hpp"
#include "device/shared_memory.cuh"
#include "rounding/targets.cuh"
#include "rounding/tile_choice.cuh"

namespace tatr {

inline constexpr int kDecideThreads = 1024;

/// offsets[0 … count] = running sums of value(i) for i < count, by one block of kDecideThreads. Ends with a barrier.
template <class Value>
__device__ void scan_in_block(std::int32_t count, Value value, std::int32_t* offsets) {
  using Scan = cub::BlockScan<std::int32_t, kDecideThreads, cub::BLOCK_SCAN_WARP_SCANS>;
  __shared__ typename Scan::TempStorage storage;
  const std::int32_t each = ceil_div(count, kDecideThreads);
  const std::int32_t first = static_cast<std::int32_t>(threadIdx.x) * each;
  const std::int32_t last = first + each < count ? first + each : count;
  std::int32_t sum = 0, before = 0;
  for (std::int32_t i = first; i < last; ++i) sum += value(i);
  Scan(storage).ExclusiveSum(sum, before);
  for (std::int32_t i = first; i < last; ++i) {
    offsets[i] = before;
    before += value(i);
  }
  if (last == count && first < count) offsets[count] = before;
  __syncthreads();
}

struct DecideParams {
  DecideAlone alone;  // with the loads, the rule, what is at stake and where targets go
  std::int32_t experts, tokens;
  BudgetSize budget;
  const double* stake;  // [E] budget: what it goes by
  std::int32_t* order;  // [E] budget: experts by stake
  std::int32_t* down_tiles;
  std::int32_t* need;     // [E] out
  std::int32_t* offsets;  // [E+1] out: rows
  bool among_tiles;       // budget: tiles are chosen, not experts
  TileSlots slots;        // in order, where they are

  static constexpr std::size_t kRoomOfExpert = sizeof(double) + sizeof(std::int32_t);

  /// Bytes of shared memory.
  std::size_t room() const { return static_cast<std::size_t>(experts) * kRoomOfExpert; }
};
static_assert(DecideParams::kRoomOfExpert * kMaxExperts <= 98 * 1024, "every GPU from 8.0 on has 99 KB for a block");

/// Deviations are computed by all threads, then the sum runs on in one.
__device__ inline void decide_balance_in_block(const DecideParams& p, Deviations* deviations) {
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) {
    deviations[e] = Deviations::of(p.alone.loads(e));
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    decide_balance(
        p.experts, [&](std::int32_t e) { return deviations[e]; },
        [&](std::int32_t e, std::int32_t taken) { deviations[e].up = taken; });
  }
  __syncthreads();
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) {
    p.alone.target[e] = p.alone.loads(e).kept + deviations[e].up;
  }
}

/// How many of stakes [first, last) stand before an expert when sorted high to low, ties to the lower index.
__device__ inline std::int32_t ahead_of(std::int32_t expert, const double* stake, std::int32_t first,
                                        std::int32_t last) {
  const double own = stake[expert];
  const std::int32_t middle = min(max(expert, first), last);
  std::int32_t ahead = 0;
  for (std::int32_t e = first; e < middle; ++e) ahead += stake[e] >= own;
  for (std::int32_t e = middle; e < last; ++e) ahead += stake[e] > own;
  return ahead;
}

/// Of all experts, known to every thread once the block has passed a barrier.
__device__ inline const BudgetTally& tally_in_block(const DecideParams& p) {
  __shared__ BudgetTally tally;
  if (threadIdx.x == 0) tally = {};
  BudgetTally own;
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) own.add(p.alone.loads(e));
  own.candidates = __reduce_add_sync(0xFFFFFFFFu, own.candidates);
  own.nearest = __reduce_add_sync(0xFFFFFFFFu, own.nearest);
  own.down_tiles = __reduce_add_sync(0xFFFFFFFFu, own.down_tiles);
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    atomicAdd(&tally.candidates, own.candidates);
    atomicAdd(&tally.nearest, own.nearest);
    atomicAdd(&tally.down_tiles, own.down_tiles);
  }
  return tally;
}

__device__ inline void decide_tiles_in_block(const DecideParams& p) {
  __shared__ std::int64_t kept;
  const BudgetTally& tally = tally_in_block(p);
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) p.alone.target[e] = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    kept = kept_tiles(p.budget, tally, p.slots);
    *p.down_tiles = 0;
  }
  __syncthreads();
  const KeepTile keep{p.slots, p.alone.loads, p.alone.target};
  for (std::int64_t i = threadIdx.x; i < kept; i += kDecideThreads) keep(i);
}

/// Several threads count for one expert where there are more threads than experts. `place` [E].
__device__ inline void decide_budget_in_block(const DecideParams& p, double* stake, std::int32_t* place) {
  __shared__ std::int32_t round_ups;
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) {
    stake[e] = p.stake[e];
    place[e] = 0;
  }
  const BudgetTally& tally = tally_in_block(p);
  const std::int32_t parts = max(1, kDecideThreads / p.experts), length = ceil_div(p.experts, parts);
  for (std::int32_t i = threadIdx.x; i < p.experts * parts; i += kDecideThreads) {
    const std::int32_t expert = i % p.experts, first = min(i / p.experts * length, p.experts);
    atomicAdd(&place[expert], ahead_of(expert, stake, first, min(first + length, p.experts)));
  }
  __syncthreads();
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) p.order[place[e]] = e;
  __syncthreads();
  if (threadIdx.x == 0) {
    round_ups = p.budget(tally, p.alone.own_mass, p.order);
    *p.down_tiles = tally.down_tiles;
  }
  __syncthreads();
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) {
    const Load load = p.alone.loads(e);
    p.alone.target[e] = place[e] < round_ups ? load.up() : load.down();
  }
}

/// Targets, needs and offsets. All kDecideThreads of one block call it.
__device__ inline void decide_in_block(const DecideParams& p, double* room) {
  static_assert(alignof(Deviations) <= alignof(double) && sizeof(Deviations) <= sizeof(double) + sizeof(std::int32_t));
  if (p.alone.rule == StrategyKind::kBalance) {
    decide_balance_in_block(p, reinterpret_cast<Deviations*>(room));
  } else if (p.among_tiles) {
    decide_tiles_in_block(p);
  } else if (p.alone.rule == StrategyKind::kBudget) {
    decide_budget_in_block(p, room, reinterpret_cast<std::int32_t*>(room + p.experts));
  } else {
    for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) p.alone(e);
  }
  __syncthreads();
  const NeedOfTarget need{p.alone.loads, p.tokens, p.alone.target, p.need};
  for (std::int32_t e = threadIdx.x; e < p.experts; e += kDecideThreads) need(e);
  scan_in_block(
      p.experts, [&](std::int32_t e) { return p.alone.target[e]; }, p.offsets);
}

/// For the rules that look at gates.
__global__ void __launch_bounds__(kDecideThreads) decide_targets(const DecideParams p) {
  extern __shared__ double decide_memory[];
  decide_in_block(p, shared_memory_as<double>(decide_memory));
}

inline void launch_decide(const DecideParams& params, cudaStream_t stream) {
  allow_shared_memory(decide_targets);
  decide_targets<<<1, kDecideThreads, params.room(), stream>>>(params);
  TATR_CHECK_LAUNCH(decide_targets);
}

}  // namespace tatr
