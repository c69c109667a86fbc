// Decides which output tiles a cluster of two CTAs computes, and in which order. Knows neither operands nor shared
// memory.
//
// An item is two tiles of one expert. While an expert has two row tiles left, they are those two at one column tile,
// and share the weights. Its odd row tile is done at two column tiles at once, which share the rows. So no CTA stands
// idle, and what an expert costs grows by one tile of 128 rows at a time: the granule. With a granule of 256 the
// cluster always takes two row tiles, the second perhaps for nothing. With one of 64, a last 64 rows are an odd tile of
// half height and half the work.
//
// Order: experts by index; clusters take items one by one from a queue, so that all are at work on the same few
// experts, and an expert's weights are read from memory once and then come out of L2. (With a fixed stride over the
// items clusters drift apart by whole tiles, and up to a third more is read from memory.) Counts come from device
// memory.
#pragma once

#include <cstdint>

#include "core/integer_math.hpp"
#include "core/platform.hpp"
#include "gemm/sm90/gemm_config.hpp"

namespace tatr {

struct TileGrid {
  std::int32_t experts;
  std::int32_t column_tiles;
  std::int32_t granule_rows;  // 64, 128 or 256; 0: the expert is not done here
  std::int32_t band_pairs;    // row pairs walked at all columns before the next ones: bounds what L2 must hold
  const std::int32_t* granule_of_expert;  // [experts] in place of granule_rows, or null
};

/// One CTA's part of an item.
struct TileItem {
  std::int32_t first_row;
  std::int32_t valid_rows;  // of the tile, the expert's own; 0: the tile is there for the sake of the other CTA alone
  std::int32_t column_tile;
  std::int32_t expert;                       // negative: no more items
  bool shares_rows;                          // with the other CTA; or else the weights
  bool half;                                 // only the first 64 rows count
  std::int32_t first_k_row = 0, k_rows = 0;  // of a weight gradient: the expert's rows, which are summed over
};

/// An expert's row tiles as the cluster takes them.
struct RowTiles {
  std::int64_t pairs;
  std::int32_t odd;  // tiles besides, each done at two columns at once
  bool half;         // the last odd one has 64 rows
};

TATR_HD inline RowTiles row_tiles(const TileGrid& grid, std::int32_t count) {
  if (grid.granule_rows == 0) return {0, 0, false};
  const std::int64_t granules = ceil_div<std::int64_t>(count, grid.granule_rows);
  if (grid.granule_rows == 2 * kBlockRows) return {granules, 0, false};
  if (grid.granule_rows == kBlockRows) return {granules / 2, static_cast<std::int32_t>(granules % 2), false};
  return {granules / 4, static_cast<std::int32_t>(granules % 4 / 2 + granules % 2), granules % 2 != 0};
}

TATR_HD inline std::int64_t items_of_expert(const TileGrid& grid, std::int32_t count) {
  const RowTiles tiles = row_tiles(grid, count);
  return tiles.pairs * grid.column_tiles + static_cast<std::int64_t>(tiles.odd * ceil_div(grid.column_tiles, 2));
}

/// Item `local` of an expert with rows [begin, begin + count), as seen by CTA `rank` of the cluster. Within a band: two
/// columns of tiles, all row pairs at the first, all at the second, then the odd tiles at both: whoever needs the same
/// weights needs them at about the same time.
TATR_HD inline TileItem item_of_expert(const TileGrid& grid, std::int32_t expert, std::int32_t begin,
                                       std::int32_t count, std::int64_t local, std::int32_t rank) {
  const RowTiles tiles = row_tiles(grid, count);
  const std::int64_t band_items = static_cast<std::int64_t>(grid.band_pairs) * grid.column_tiles;
  const std::int64_t last_band = tiles.pairs == 0 ? 0 : (tiles.pairs - 1) / grid.band_pairs;
  const std::int64_t band =
      local / band_items < last_band ? local / band_items : last_band;  // odd tiles lengthen the last
  const std::int64_t first_pair = band * grid.band_pairs, left = tiles.pairs - first_pair;
  const auto pairs = static_cast<std::int32_t>(left < grid.band_pairs ? left : grid.band_pairs);
  const auto in_band = static_cast<std::int32_t>(local - band * band_items);
  const std::int32_t per_two_columns = 2 * pairs + (band == last_band ? tiles.odd : 0);
  const std::int32_t first_column = in_band / per_two_columns * 2, in_columns = in_band % per_two_columns;
  const std::int32_t columns = grid.column_tiles - first_column < 2 ? 1 : 2;
  const std::int32_t odd = in_columns - columns * pairs;  // negative: a pair

  const bool shares_rows = odd >= 0;
  const std::int64_t row_tile = shares_rows ? 2 * tiles.pairs + odd : 2 * (first_pair + in_columns % pairs) + rank;
  const std::int32_t column_tile = first_column + (shares_rows ? rank : in_columns / pairs);
  const std::int64_t skipped = row_tile * kBlockRows;
  std::int64_t valid = count - skipped;
  if (valid < 0 || column_tile >= grid.column_tiles) valid = 0;
  if (valid > kBlockRows) valid = kBlockRows;
  return {
      static_cast<std::int32_t>(begin + skipped), static_cast<std::int32_t>(valid), column_tile, expert, shares_rows,
      tiles.half && odd == tiles.odd - 1};
}

#if defined(__CUDACC__)
/// Finds items by ascending index. All 32 lanes of a warp call it together, each with its own rank; each holds one
/// expert of the current 32.
class TileScheduler {
 public:
  __device__ TileScheduler(const TileGrid& grid, const std::int32_t* offsets) : grid_(grid), offsets_(offsets) {
    load(0);
  }

  __device__ TileItem find(std::int64_t index, std::int32_t rank) {
    while (index >= items_before_ + items_here_) {
      if (first_expert_ + 32 >= grid_.experts) return {0, 0, 0, -1, false, false};
      items_before_ += items_here_;
      load(first_expert_ + 32);
    }
    const std::uint32_t reached = __ballot_sync(~0u, index < items_before_ + last_item_);
    const int lane = __ffs(reached) - 1;
    const std::int32_t begin = __shfl_sync(~0u, begin_, lane), count = __shfl_sync(~0u, count_, lane);
    const std::int64_t first_item = __shfl_sync(~0u, last_item_ - items_, lane);
    if (grid_.granule_of_expert != nullptr) grid_.granule_rows = __shfl_sync(~0u, granule_, lane);
    return item_of_expert(grid_, first_expert_ + lane, begin, count, index - items_before_ - first_item, rank);
  }

 private:
  __device__ void load(std::int32_t first_expert) {
    first_expert_ = first_expert;
    const std::int32_t lane = threadIdx.x % 32, expert = first_expert + lane;
    begin_ = expert < grid_.experts ? offsets_[expert] : 0;
    count_ = expert < grid_.experts ? offsets_[expert + 1] - begin_ : 0;
    if (grid_.granule_of_expert != nullptr) {
      granule_ = expert < grid_.experts ? grid_.granule_of_expert[expert] : 0;
      grid_.granule_rows = granule_;
    }
    items_ = items_of_expert(grid_, count_);
    last_item_ = items_;
    for (int distance = 1; distance < 32; distance *= 2) {
      const std::int64_t below = __shfl_up_sync(~0u, last_item_, distance);
      if (lane >= distance) last_item_ += below;
    }
    items_here_ = __shfl_sync(~0u, last_item_, 31);
  }

  TileGrid grid_;
  const std::int32_t* offsets_;
  std::int32_t first_expert_ = 0;
  std::int64_t items_before_ = 0;           // of all experts before the current 32
  std::int64_t items_here_ = 0;             // of the current 32
  std::int32_t begin_ = 0, count_ = 0;      // rows of this lane's expert
  std::int32_t granule_ = 0;                // of this lane's expert, where each has its own
  std::int64_t items_ = 0, last_item_ = 0;  // of this lane's expert; summed up to and with it
};

/// Of weight gradients: every expert has the same tiles, grid.granule_rows being its rows in place of a granule, and
/// its own rows to sum over. All 32 lanes of a warp call it together, each with its own rank.
class GradientScheduler {
 public:
  __device__ GradientScheduler(const TileGrid& grid, const std::int32_t* offsets)
      : grid_(grid), offsets_(offsets), rows_(grid.granule_rows) {
    grid_.granule_rows = kBlockRows;
    items_of_each_ = items_of_expert(grid_, rows_);
  }

  __device__ TileItem find(std::int64_t index, std::int32_t rank) const {
    const std::int64_t expert = index / items_of_each_;
    if (expert >= grid_.experts) return {0, 0, 0, -1, false, false};
    TileItem item =
        item_of_expert(grid_, static_cast<std::int32_t>(expert), 0, rows_, index - expert * items_of_each_, rank);
    item.first_k_row = offsets_[expert];
    item.k_rows = offsets_[expert + 1] - item.first_k_row;
    return item;
  }

 private:
  TileGrid grid_;
  const std::int32_t* offsets_;
  std::int32_t rows_;
  std::int64_t items_of_each_;
};
#endif

}  // namespace tatr
