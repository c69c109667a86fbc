// The role that brings operands by bulk copies: one thread.
#pragma once

#include "gemm/sm90/item_queue.cuh"

namespace tatr::sm90 {

template <class Config>
struct Loader {
  const GemmParams& params;
  const CUtensorMap& map_a;
  const CUtensorMap& map_b;
  SharedStorage<Config>& shared;
  int rank;

  /// The CTA's own rows, or for both CTAs its half of the shared ones; of a half tile the first CTA brings all there
  /// is.
  __device__ void load_a(const TileItem& item, int stage, std::uint32_t barrier, int k) const {
    const std::uint32_t target = ptx::shared_address(shared.a[stage]);
    if (!item.shares_rows) {
      ptx::load_2d(target, &map_a, barrier, k, item.first_row);
      ptx::load_2d(target + kBytesA / 2, &map_a, barrier, k, item.first_row + kLoadRowsA);
    } else if (rank == 0 || !item.half) {
      ptx::load_2d_multicast(target + rank * (kBytesA / 2), &map_a, barrier, k, item.first_row + rank * kLoadRowsA,
                             kBothCtas);
    }
  }

  /// Box 0 or 1 of the tile's weights; with SwiGLU the gate rows and the up rows.
  __device__ int weight_row(const TileItem& item, int box) const {
    return item.column_tile * Config::kOutputColumns + box * (Config::kSwiglu ? params.up_row : Config::kLoadRowsB);
  }

  /// The CTA's own columns, or for both CTAs its half of the shared ones.
  __device__ void load_b(const TileItem& item, int stage, std::uint32_t barrier, int k) const {
    const std::uint32_t target = ptx::shared_address(shared.b[stage]);
    if (item.shares_rows) {
      ptx::load_3d(target, &map_b, barrier, k, weight_row(item, 0), item.expert);
      ptx::load_3d(target + kBytesB<Config> / 2, &map_b, barrier, k, weight_row(item, 1), item.expert);
    } else {
      ptx::load_3d_multicast(target + rank * (kBytesB<Config> / 2), &map_b, barrier, k, weight_row(item, rank),
                             item.expert, kBothCtas);
    }
  }

  /// Where a k block of the operand that lies across begins: in the expert's weights, or in the rows of all experts.
  /// The last block of an expert's rows may reach into the next one's, which are multiplied by zeros (DepthGatherer):
  /// they have to be finite. An expert without rows multiplies zeros, which lie behind them all.
  __device__ int depth_of(const TileItem& item, int k) const {
    if (!Config::kReducesRows) return k;
    return item.k_rows == 0 ? params.rows_bound + 1 : item.first_k_row + k;
  }

  /// The same where the operand lies across: boxes of 64 columns.
  __device__ void load_b_across(const TileItem& item, int stage, std::uint32_t barrier, int k) const {
    constexpr int kBoxes = Config::kBlockColumns / kLoadColumns, kOwnBoxes = kBoxes / kCluster;
    const int own_first = rank * kOwnBoxes, depth = depth_of(item, k), expert = Config::kReducesRows ? 0 : item.expert;
#pragma unroll
    for (int i = 0; i < kBoxes; ++i) {
      const int box = (own_first + i) % kBoxes;
      const std::uint32_t target = ptx::shared_address(shared.b[stage]) + box * kBoxBytes;
      const int column = item.column_tile * Config::kBlockColumns + box * kLoadColumns;
      if (item.shares_rows) {
        ptx::load_3d(target, &map_b, barrier, column, depth, expert);
      } else if (i < kOwnBoxes) {
        ptx::load_3d_multicast(target, &map_b, barrier, column, depth, expert, kBothCtas);
      }
    }
  }

  __device__ void run() const {
    ItemReader<Config> items(shared.items);
    RingPosition<Config::kStages> stage;
    for (TileItem item; items.template next<true>(item);) {
      const int k_blocks = k_blocks_of<Config>(params, item);
      const int bytes = kBytesB<Config> + (Config::kGather ? 0 : item.half ? kBytesA / 2 : kBytesA);
      int k_block = first_k_block<Config>(params, item.expert, k_blocks);
      for (int i = 0; i < k_blocks; ++i, stage.advance()) {
        const std::uint32_t barrier = ptx::shared_address(&shared.full[stage.index]);
        ptx::mbarrier_wait(ptx::shared_address(&shared.empty[stage.index]), stage.parity ^ 1);
        ptx::mbarrier_arrive_expect_bytes(barrier, bytes);
        if constexpr (!Config::kGather) load_a(item, stage.index, barrier, k_block * kBlockDepth);
        if constexpr (Config::kAcrossB) {
          load_b_across(item, stage.index, barrier, k_block * kBlockDepth);
        } else {
          load_b(item, stage.index, barrier, k_block * kBlockDepth);
        }
        if (++k_block == k_blocks) k_block = 0;
      }
    }
  }
};

}  // namespace tatr::sm90
