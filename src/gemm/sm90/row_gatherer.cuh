// The role that gathers A's rows, which no bulk load can: two warps. The swizzle is done by hand. Instructions are what
// counts here, for the warps must keep up with the tensor cores.
#pragma once

#include "gemm/sm90/item_queue.cuh"

namespace tatr::sm90 {

/// Rows that are multiplied, 64 of k at a time. Four lanes copy a row's 128 bytes in two steps: where all is there to
/// be copied, three instructions for each two copies.
template <class Config>
struct RowGatherer {
  static constexpr int kLanes = 4, kSegments = kBlockDepth / 8;  // of 16 bytes, in a row of a stage
  static constexpr int kRowsAtOnce = kGatherWarps * 32 / kLanes, kRowsEach = kBlockRows / kRowsAtOnce;
  static_assert(kRowsAtOnce % 8 == 0, "a thread's rows are all the same one of eight, so its swizzle is constant");
  static constexpr std::uint32_t kNoRow = ~0u;
  const GemmParams& params;
  SharedStorage<Config>& shared;
  int thread;                         // of the gathering warps
  std::uint32_t segments[kRowsEach];  // where this thread's rows begin in x, in 16 bytes: one register each, not two
  bool whole;                         // all the warp's rows are there

  __device__ void begin(const TileItem& item) {
    whole = true;
#pragma unroll
    for (int i = 0; i < kRowsEach; ++i) {
      const int row = thread / kLanes + i * kRowsAtOnce;
      const std::int32_t token = row < item.valid_rows ? __ldg(params.token_index + item.first_row + row) : -1;
      segments[i] = token < 0 ? kNoRow : static_cast<std::uint32_t>(token) * (params.k / 8);
      whole = whole && token >= 0;
    }
    whole = __all_sync(~0u, whole);
  }

  __device__ __forceinline__ void copy_block(int stage, int k_block) {
    const int k = k_block * kBlockDepth;
    if (whole && k + kBlockDepth <= params.k) {
      copy<true>(stage, k);
    } else {
      copy<false>(stage, k);
    }
  }

  /// kWhole: no row, and no part of a row, is to be zeros.
  template <bool kWhole>
  __device__ void copy(int stage, int k) const {
    const int row = thread / kLanes, lane = thread % kLanes, segment = k / 8 + lane, last = params.k / 8;
    const std::uint32_t target = ptx::shared_address(shared.a[stage]) + row * 128;
    const int4* const from = reinterpret_cast<const int4*>(params.x) + segment;
#pragma unroll
    for (int i = 0; i < kRowsEach; ++i) {
      const int4* const source = ptx::advance_16(from, segments[i]);
#pragma unroll
      for (int along = 0; along < kSegments; along += kLanes) {
        const std::uint32_t place = target + i * kRowsAtOnce * 128 + (lane + along ^ row % 8) * 16;
        if constexpr (kWhole) {
          ptx::copy_16(place, source + along);
        } else {
          ptx::copy_16_or_zero(place, source + along, segments[i] != kNoRow && segment + along < last);
        }
      }
    }
  }
};

/// Rows that are summed over: a k block is 64 of them, of each the tile's 128 columns, in two boxes of 64. Eight lanes
/// copy 16 bytes each in either box. A warp's lane knows where one of its 32 rows lies, and tells the others.
template <class Config>
struct DepthGatherer {
  static constexpr int kLanes = 8, kRowsAtOnce = 32 / kLanes, kRowsEach = kBlockDepth / kGatherWarps;
  static constexpr std::uint32_t kNoRow = ~0u;
  const GemmParams& params;
  SharedStorage<Config>& shared;
  int thread;                       // of the gathering warps
  std::int32_t k_row, k_rows_left;  // of this lane in the last block asked for; rows from it to the expert's end
  std::int32_t token, next_token;   // of that row, and of the block after; negative: none
  std::int32_t first_segment;       // of the tile's columns, in 16 bytes
  const int4* from;                 // x, at this lane's columns of the first box
  bool there[2];                    // whether the columns are, in either box
  bool all_there;

  __device__ void begin(const TileItem& item) {
    first_segment = item.first_row / 8;
    const int column = item.first_row + thread % kLanes * 8;
    from = reinterpret_cast<const int4*>(params.x) + column / 8;
    there[0] = column < params.output_rows;
    there[1] = column + kLoadColumns < params.output_rows;
    all_there = item.first_row + kBlockRows <= params.output_rows;
    const int own = thread / 32 * kRowsEach + thread % 32;
    k_row = item.first_k_row + own;
    k_rows_left = item.k_rows - own;
    token = find_token();
    next_block();
  }

  __device__ std::int32_t find_token() const {
    return k_rows_left <= 0 ? -1 : params.token_index == nullptr ? k_row : __ldg(params.token_index + k_row);
  }

  /// Tokens are asked for a block early: their way is as long as what the copies take.
  __device__ void next_block() {
    k_row += kBlockDepth;
    k_rows_left -= kBlockDepth;
    next_token = find_token();
  }

  __device__ __forceinline__ void copy_block(int stage, int) {
    const std::uint32_t own = token < 0 ? kNoRow : static_cast<std::uint32_t>(token) * (params.output_rows / 8);
    if (__all_sync(~0u, token >= 0) && all_there) {
      copy<true>(stage, own);
    } else {
      copy<false>(stage, own);
    }
    token = next_token;
    if (params.prefetch) expect();
    next_block();
  }

  /// The row of the next block, on its way into L2.
  __device__ __forceinline__ void expect() const {
    if (token < 0 || !all_there) return;
    const auto own = static_cast<std::uint32_t>(token) * (params.output_rows / 8) + first_segment;
    const int4* const place = ptx::advance_16(reinterpret_cast<const int4*>(params.x), own);
    ptx::prefetch_l2(place);
    ptx::prefetch_l2(place + kLoadColumns / 8);
  }

  template <bool kWhole>
  __device__ void copy(int stage, std::uint32_t own) const {
    const int lane = thread % kLanes, first = thread % 32 / kLanes;
    const std::uint32_t target = ptx::shared_address(shared.a[stage]) + (thread / 32 * kRowsEach + first) * 128;
#pragma unroll
    for (int i = 0; i < kRowsEach / kRowsAtOnce; ++i) {
      const int row = i * kRowsAtOnce + first;
      const std::uint32_t segments = __shfl_sync(~0u, own, row);
      const int4* const source = ptx::advance_16(from, segments);
      const std::uint32_t place = target + i * kRowsAtOnce * 128 + (lane ^ row % 8) * 16;
#pragma unroll
      for (int box = 0; box < 2; ++box) {
        if constexpr (kWhole) {
          ptx::copy_16(place + box * kBoxBytes, source + box * (kLoadColumns / 8));
        } else {
          ptx::copy_16_or_zero(place + box * kBoxBytes, source + box * (kLoadColumns / 8),
                               segments != kNoRow && there[box]);
        }
      }
    }
  }
};

/// A stage is announced kGatherLag stages later, when its copies are known to have landed. (Announced by the copies
/// themselves, with cp.async.mbarrier.arrive.noinc, the kernel hung once in some hundred launches.)
template <class Config, class Gatherer>
__device__ void gather_rows(const GemmParams& params, SharedStorage<Config>& shared, Gatherer& gatherer) {
  ItemReader<Config> items(shared.items);
  RingPosition<Config::kStages> stage, landed;
  int under_way = 0;
  for (TileItem item; items.next(item);) {
    const int k_blocks = k_blocks_of<Config>(params, item);
    int k_block = first_k_block<Config>(params, item.expert, k_blocks);
    gatherer.begin(item);
    for (int i = 0; i < k_blocks; ++i, stage.advance()) {
      ptx::mbarrier_wait(ptx::shared_address(&shared.empty[stage.index]), stage.parity ^ 1);
      gatherer.copy_block(stage.index, k_block);
      ptx::commit_copies();
      if (++k_block == k_blocks) k_block = 0;
      if (under_way < kGatherLag) {
        ++under_way;
        continue;
      }
      ptx::wait_copies<kGatherLag>();
      ptx::fence_async_shared();  // these copies write by the generic proxy, the tensor cores read by the async one
      ptx::mbarrier_arrive(ptx::shared_address(&shared.full[landed.index]));
      landed.advance();
    }
  }
  ptx::wait_copies<0>();
  ptx::fence_async_shared();
  for (; landed.index != stage.index; landed.advance())
    ptx::mbarrier_arrive(ptx::shared_address(&shared.full[landed.index]));
}

}  // namespace tatr::sm90
