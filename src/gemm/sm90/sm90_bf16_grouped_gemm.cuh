// The grouped GEMMs of an expert layer, rows sorted by expert: bf16 in, fp32 sums, on sm_90a. Forward C[r, :] = A[r, :]
// * W[expert of r]^T; data gradients C[r, :] = A[r, :] * W[expert of r]; weight gradients C[e] = sum over e's rows of
// A[r, :] ⊗ B[r, :]. A's rows may be gathered from a token list; what becomes of the sums is an Epilogue.
//
// Persistent and warp-specialised: one warp walks the tiles (item_queue.cuh), one loads operands (operand_loader.cuh),
// two more gather rows (row_gatherer.cuh), and two warpgroups multiply (multiplier.cuh) and store (tile_output.cuh,
// gradient_output.cuh). Cooperative schedule: both work on one tile of 128 x 256, whose results
// leave behind the next tile's first products: once summed they are rounded to bf16 in registers, and stored a few
// columns at a time while the tensor cores already work on the next tile. Ping-pong schedule: they work in turn on
// tiles of 128 x 128, and while one stores the other multiplies; for short k, where tiles end often.
//
// Which tile is whose: tile_scheduler.cuh. Which configuration runs, and whether any can: tatr_plan.hpp.
#pragma once

#include "device/shared_memory.cuh"
#include "gemm/sm90/gradient_output.cuh"
#include "gemm/sm90/multiplier.cuh"
#include "gemm/sm90/operand_loader.cuh"
#include "gemm/sm90/row_gatherer.cuh"
#include "gemm/sm90/tile_output.cuh"

namespace tatr::sm90 {

// 168 a thread at launch; after the exchange 64512 of 65536 are in use.
inline constexpr std::uint32_t kLoaderRegisters = 56, kMultiplierRegisters = 224;

template <class Output, int kStep = 0>
__device__ __forceinline__ void store_all(Output& output) {
  if constexpr (kStep < Output::kSteps) {
    output.template step<kStep>();
    store_all<Output, kStep + 1>(output);
  }
}

/// The first k blocks of a tile, each with a part of the tile before it stored behind its products.
template <class Config, int kStep = 0>
__device__ __forceinline__ void begin_tile(Multiplier<Config>& multiplier, TileOutput<Config>& output,
                                           typename Multiplier<Config>::Sums& sums, int k_blocks) {
  if constexpr (kStep < TileOutput<Config>::kSteps) {
    if (kStep < k_blocks) multiplier.issue(sums, kStep == 0);
    if (output.pending) output.template step<kStep>();
    if (kStep > 0 && kStep < k_blocks) multiplier.finish_previous();
    begin_tile<Config, kStep + 1>(multiplier, output, sums, k_blocks);
  }
}

template <class Config>
__device__ __forceinline__ void multiply_together(const GemmParams& params, const GemmMaps& maps,
                                                  SharedStorage<Config>& shared, int warpgroup) {
  Multiplier<Config> multiplier(shared, warpgroup);
  TileOutput<Config> output{params, maps, shared, warpgroup};
  typename Multiplier<Config>::Sums sums;
  ItemReader<Config> items(shared.items);
  for (TileItem item; items.next(item);) {
    const int k_blocks = k_blocks_of<Config>(params, item);
    if (item.half && warpgroup == 1) {
      multiplier.skip(k_blocks);
      continue;
    }
    begin_tile<Config>(multiplier, output, sums, k_blocks);
    for (int i = TileOutput<Config>::kSteps; i < k_blocks; ++i) {
      multiplier.issue(sums, false);
      multiplier.finish_previous();
    }
    multiplier.finish(sums);
    output.take(sums[0], item, warpgroup);
  }
  if (output.pending) store_all(output);
  output.finish();
}

/// The same, with the gradient through SwiGLU of the tile before behind each tile's products.
template <class Config>
__device__ __forceinline__ void multiply_to_gradient(const GemmParams& params, SharedStorage<Config>& shared,
                                                     int warpgroup) {
  Multiplier<Config> multiplier(shared, warpgroup);
  SwigluGradient<Config> gradient(params, shared, warpgroup);
  typename Multiplier<Config>::Sums sums;
  ItemReader<Config> items(shared.items);
  for (TileItem item; items.next(item);) {
    const int k_blocks = k_blocks_of<Config>(params, item);
    if (item.half && warpgroup == 1) {
      multiplier.skip(k_blocks);
      continue;
    }
    multiplier.issue(sums, true);
    gradient.advance(k_blocks);
    for (int i = 1; i < k_blocks; ++i) {
      multiplier.issue(sums, false);
      gradient.advance(k_blocks);
      multiplier.finish_previous();
    }
    gradient.finish();
    multiplier.finish(sums);
    gradient.take(sums[0], item);
  }
  gradient.finish();
}

/// One tile, or of a half tile the rows that it has, from its first product to its store. `pass_turn` is called when
/// the other warpgroup may begin.
template <int kBlocks, class Config, class PassTurn>
__device__ __forceinline__ void multiply_and_store(Multiplier<Config>& multiplier, TileOutput<Config>& output,
                                                   typename Multiplier<Config>::Sums& sums, const TileItem& item,
                                                   int k_blocks, PassTurn pass_turn) {
  multiplier.template issue<kBlocks>(sums, true);
  for (int i = 1; i < k_blocks; ++i) {
    multiplier.template issue<kBlocks>(sums, false);
    multiplier.finish_previous();
  }
  pass_turn();
  multiplier.template finish<kBlocks>(sums);
#pragma unroll
  for (int block = 0; block < kBlocks; ++block) {
    output.take(sums[block], item, block);
    store_all(output);
  }
}

/// A warpgroup may not wait for its tile's first stage while the other has stages of the tile before to wait for: a
/// barrier tells one phase from the next, not from the one after. So they pass the turn to each other.
template <class Config>
__device__ __forceinline__ void multiply_in_turn(const GemmParams& params, const GemmMaps& maps,
                                                 SharedStorage<Config>& shared, int warpgroup) {
  static_assert(!Config::kReducesRows);
  constexpr int kFirstBarrier = 1 + kMultipliers;  // after those of the output
  const int k_blocks = ceil_div(params.k, kBlockDepth), other = 1 - warpgroup;
  const auto await_turn = [&] { ptx::named_barrier(kFirstBarrier + warpgroup, kMultipliers * 128); };
  const auto pass_turn = [&] { ptx::named_barrier_arrive(kFirstBarrier + other, kMultipliers * 128); };
  Multiplier<Config> multiplier(shared, warpgroup);
  TileOutput<Config> output{params, maps, shared, warpgroup};
  typename Multiplier<Config>::Sums sums;
  ItemReader<Config> items(shared.items);
  int turn = 0;
  if (warpgroup == 1) pass_turn();
  for (TileItem item; items.next(item); turn ^= 1) {
    if (turn != warpgroup) {
      multiplier.stage.advance_by(k_blocks);
      continue;
    }
    await_turn();
    if (item.half) {
      multiply_and_store<1>(multiplier, output, sums, item, k_blocks, pass_turn);
    } else {
      multiply_and_store<2>(multiplier, output, sums, item, k_blocks, pass_turn);
    }
  }
  if (turn == warpgroup) await_turn();  // no arrival is left behind
  output.finish();
}

template <class Config>
__device__ void initialise_barriers(SharedStorage<Config>& shared) {
  constexpr int kMultiplierWarps = kMultipliers * 4;
  constexpr int kStageReaders = Config::kPingPong ? kMultiplierWarps / 2 : kMultiplierWarps;
  constexpr int kItemReaders = kMultiplierWarps + 1 + (Config::kGather ? kGatherWarps : 0);
  for (int i = 0; i < Config::kStages; ++i) {
    ptx::mbarrier_init(ptx::shared_address(&shared.full[i]), 1 + (Config::kGather ? kGatherWarps * 32 : 0));
    ptx::mbarrier_init(ptx::shared_address(&shared.empty[i]), kStageReaders * kCluster);
  }
  for (int i = 0; i < kItemRing; ++i) {
    ptx::mbarrier_init(ptx::shared_address(&shared.items.full[i]), 1);
    ptx::mbarrier_init(ptx::shared_address(&shared.items.empty[i]), kItemReaders * kCluster);
  }
  ptx::fence_mbarrier_init();
}

template <class Config>
__device__ void load_operands(const GemmParams& params, const GemmMaps& maps, SharedStorage<Config>& shared, int rank) {
  const int warp = threadIdx.x % 128 / 32;
  if (warp == 0) {
    if (threadIdx.x % 32 == 0) Loader<Config>{params, maps.a, maps.b, shared, rank}.run();
  } else if (warp == 1) {
    if (rank == 0) publish_items<Config>(params, shared.items);
  } else if constexpr (Config::kGather) {
    using Gatherer = std::conditional_t<Config::kReducesRows, DepthGatherer<Config>, RowGatherer<Config>>;
    Gatherer gatherer{params, shared, static_cast<int>(threadIdx.x % 128) - 64};
    gather_rows(params, shared, gatherer);
  }
}

template <class Config>
__global__ void __launch_bounds__(kGemmThreads, 1)
    sm90_bf16_grouped_gemm(const __grid_constant__ GemmParams params, const __grid_constant__ GemmMaps maps) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  static_assert(alignof(SharedStorage<Config>) == kSwizzleBytes);
  alignas(kSwizzleBytes) extern __shared__ unsigned char memory[];
  auto& shared = *shared_memory_as<SharedStorage<Config>>(memory);
  const int rank = static_cast<int>(ptx::cluster_rank());
  const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128, 0);  // known to be uniform
  if (threadIdx.x == 0) initialise_barriers<Config>(shared);
  // No CTA may load into, or signal, another one that has not begun or has already left.
  ptx::cluster_arrive();
  ptx::cluster_wait();
  if (warpgroup == kMultipliers) {
    ptx::shrink_registers<kLoaderRegisters>();
    load_operands<Config>(params, maps, shared, rank);
  } else {
    ptx::grow_registers<kMultiplierRegisters>();
    if constexpr (Config::kGradient) {
      multiply_to_gradient(params, shared, warpgroup);
    } else if constexpr (Config::kPingPong) {
      multiply_in_turn(params, maps, shared, warpgroup);
    } else {
      multiply_together(params, maps, shared, warpgroup);
    }
  }
  __syncwarp();
  ptx::cluster_arrive();
  ptx::cluster_wait();
#endif
}

}  // namespace tatr::sm90
