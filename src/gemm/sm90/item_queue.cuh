// How a cluster's CTAs learn what to work on: one warp finds the items (tile_scheduler.cuh) and tells all others.
#pragma once

#include "gemm/sm90/gemm_storage.cuh"

namespace tatr::sm90 {

/// The next item that no cluster has taken. All lanes of one warp of the cluster.
__device__ inline std::int32_t take_index(std::int32_t* next_item) {
  const std::int32_t taken = threadIdx.x % 32 == 0 ? atomicAdd(next_item, 1) : 0;
  return __shfl_sync(~0u, taken, 0);
}

/// Leaves the queue as it was found, once every cluster has seen its end: the next launch starts from zero.
__device__ inline void close_queue(const GemmParams& params, int clusters) {
  if (threadIdx.x % 32 != 0) return;
  __threadfence();
  if (atomicAdd(params.queue + 1, 1) != clusters - 1) return;
  params.queue[0] = 0;
  params.queue[1] = 0;
}

/// One warp for the whole cluster: lane r tells CTA r its part of each item.
template <class Config>
__device__ inline void publish_items(const GemmParams& params, ItemQueue& queue) {
  using Scheduler = std::conditional_t<Config::kReducesRows, GradientScheduler, TileScheduler>;
  Scheduler scheduler(params.grid, params.offsets);
  RingPosition<kItemRing> slot;
  const int lane = threadIdx.x % 32, clusters = gridDim.x / kCluster;
  std::int32_t index = blockIdx.x / kCluster;
  while (true) {
    const TileItem item = scheduler.find(index, lane);
    ptx::mbarrier_wait(ptx::shared_address(&queue.empty[slot.index]), slot.parity ^ 1);
    if (lane < kCluster) {
      const std::uint32_t barrier = ptx::map_to_cta(ptx::shared_address(&queue.full[slot.index]), lane);
      const std::uint32_t target = ptx::map_to_cta(ptx::shared_address(queue.items[slot.index]), lane);
      const int rows = item.valid_rows | item.shares_rows << 16 | item.half << 17;
      ptx::mbarrier_arrive_cluster_expect_bytes(barrier, (Config::kReducesRows ? 2 : 1) * sizeof(int4));
      ptx::store_cluster_int4(target, {item.first_row, rows, item.column_tile, item.expert}, barrier);
      if constexpr (Config::kReducesRows) {
        ptx::store_cluster_int4(target + sizeof(int4), {item.first_k_row, item.k_rows, 0, 0}, barrier);
      }
    }
    __syncwarp();
    if (item.expert < 0) break;
    slot.advance();
    index = clusters + take_index(params.queue);
  }
  close_queue(params, clusters);
}

/// A warp's view of the items published to its CTA.
template <class Config>
class ItemReader {
 public:
  __device__ explicit ItemReader(ItemQueue& queue) : queue_(queue) {}

  /// All lanes of a warp together, or one lane that reads for it alone. False: no more items.
  template <bool kLoneLane = false>
  __device__ __forceinline__ bool next(TileItem& item) {
    ptx::mbarrier_wait(ptx::shared_address(&queue_.full[slot_.index]), slot_.parity);
    const std::uint32_t source = ptx::shared_address(queue_.items[slot_.index]);
    const int4 raw = ptx::load_shared_int4(source);
    item = {raw.x, raw.y & 0xffff, raw.z, raw.w, (raw.y >> 16 & 1) != 0, (raw.y >> 17 & 1) != 0};
    if constexpr (Config::kReducesRows) {
      const int4 more = ptx::load_shared_int4(source + sizeof(int4));
      item.first_k_row = more.x;
      item.k_rows = kLoneLane ? more.y : __shfl_sync(~0u, more.y, 0);  // products in its loop: known to be uniform
    }
    // An arrival at another CTA's barrier goes by a way of its own: it overtakes this load where copies of a gather
    // keep the load waiting, and the slot is written over before it has been read.
    ptx::fence_async_shared();
    if constexpr (!kLoneLane) __syncwarp();
    if (kLoneLane || threadIdx.x % 32 == 0) {
      ptx::mbarrier_arrive_cluster(ptx::map_to_cta(ptx::shared_address(&queue_.empty[slot_.index]), 0));
    }
    slot_.advance();
    return item.expert >= 0;
  }

 private:
  ItemQueue& queue_;
  RingPosition<kItemRing> slot_;
};

}  // namespace tatr::sm90
