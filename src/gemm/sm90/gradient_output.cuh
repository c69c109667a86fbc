// The gradient through SwiGLU and the gate, of a tile of dA. With (a, b) the halves of the row's product as the forward
// pass kept them, s = sigmoid(a) and g the row's gate:
//
//   gradient of a       g dA b s (1 + a (1 - s))          gated activation    g a s b
//   gradient of b       g dA a s                          gradient of g       sum over the row of dA a s b
//
// dA, rounded to bf16, waits half in registers, half in shared memory: neither has room for all of it beside the next
// tile's sums, its operands and this arithmetic. A warp reads what it wrote itself: its 16 rows, behind the next tile's
// products.
#pragma once

#include "gemm/sm90/tile_output.cuh"

namespace tatr::sm90 {

/// 16 bytes: eight neighbouring columns, which are a lane's.
union EightColumns {
  int4 bits;
  std::uint32_t pairs[4];
};

template <class Config>
struct SwigluGradient {
  static constexpr int kSums = Config::kSums;
  static constexpr int kRows = 16;  // of a warp
  static_assert(!Config::kGradient || Config::kBlockColumns == 32 * 8);
  const GemmParams& params;
  SharedStorage<Config>& shared;
  int warpgroup;
  std::uint32_t held[kSums / 4];  // dA of the warp's last 8 rows, till those before are done
  int row = kRows, rows = 0;      // of the warp's: the next one, and how many are the expert's
  int first_row = 0, first_column = 0, column_tile = 0, credit = 0;  // first: the warp's row, the lane's column
  EightColumns a, b;                                                 // of the next row
  float gate;

  __device__ SwigluGradient(const GemmParams& all, SharedStorage<Config>& storage, int group)
      : params(all), shared(storage), warpgroup(group) {}

  __device__ __forceinline__ void take(const float (&sums)[kSums], const TileItem& item) {
    std::uint32_t now[kSums / 4];
#pragma unroll
    for (int i = 0; i < kSums / 4; ++i) {
      now[i] = pack_bf16(sums[4 * i], sums[4 * i + 1]);
      held[i] = pack_bf16(sums[4 * i + 2], sums[4 * i + 3]);
    }
    put(now);
    const int skipped = static_cast<int>(threadIdx.x) / 32 * kRows;
    row = 0;
    rows = item.valid_rows - skipped;
    first_row = item.first_row + skipped;
    first_column = item.column_tile * Config::kBlockColumns + lane() * 8;
    column_tile = item.column_tile;
    credit = warpgroup * (kRows / 2);
    load();
  }

  /// The rows that are due behind one of k_blocks: evenly, the two warpgroups in turn, so that one multiplies while the
  /// other is here.
  __device__ __forceinline__ void advance(int k_blocks) {
    credit += kRows;
#pragma unroll 1
    for (; credit >= k_blocks && row < kRows; credit -= k_blocks) step();
  }

  __device__ __forceinline__ void finish() {
#pragma unroll 1
    while (row < kRows) step();
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  /// Of 16 bytes of one of 8 rows of 512 bytes: neighbouring rows, as neighbouring segments, in different banks.
  __device__ std::uint32_t address(int of_row, int segment) const {
    return ptx::shared_address(shared.results.rows[threadIdx.x / 32][of_row]) + (segment ^ of_row) * 16;
  }

  /// 8 rows; register i of the lane is of the 8 columns from 8 i.
  __device__ __forceinline__ void put(const std::uint32_t (&packed)[kSums / 4]) const {
    __syncwarp();  // all lanes have read the rows before
#pragma unroll
    for (int i = 0; i < kSums / 4; i += 4) {
      ptx::store_matrices_x4(address(lane() % 8, i + lane() / 8), packed[i], packed[i + 1], packed[i + 2],
                             packed[i + 3]);
    }
    __syncwarp();
  }

  __device__ bool there() const { return first_column < params.output_columns; }

  __device__ __forceinline__ std::int64_t product_place() const {
    return static_cast<std::int64_t>(first_row + row) * 2 * params.output_columns + first_column;
  }

  __device__ __forceinline__ void load() {
    if (row >= rows || !there()) return;
    const __nv_bfloat16* const place = params.product + product_place();
    a.bits = __ldcs(reinterpret_cast<const int4*>(place));
    b.bits = __ldcs(reinterpret_cast<const int4*>(place + params.output_columns));
    gate = __ldg(params.gate + first_row + row);
  }

  __device__ __forceinline__ void step() {
    if (row >= rows) {
      row = kRows;
      return;
    }
    if (row == kRows / 2) put(held);
    float part = there() ? replace() : 0.0f;
    ++row;
    load();
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) part += __shfl_xor_sync(~0u, part, distance);
    // A column tile's part: added up over them by whoever launched this, in their order.
    if (lane() == 0) {
      params.gate_gradient[static_cast<std::int64_t>(column_tile) * params.rows_bound + first_row + row - 1] = part;
    }
  }

  /// One row; returns the lane's part of the gate's gradient.
  __device__ __forceinline__ float replace() const {
    EightColumns d, da, db, gated;
    d.bits = ptx::load_shared_int4(address(row % 8, lane()));
    float part = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 own = unpack_bf16(d.pairs[i]);
      float2 own_a = unpack_bf16(a.pairs[i]), own_b = unpack_bf16(b.pairs[i]), own_gated;
      replace_one(own.x, own_a.x, own_b.x, own_gated.x, part);
      replace_one(own.y, own_a.y, own_b.y, own_gated.y, part);
      da.pairs[i] = pack_bf16(own_a.x, own_a.y);
      db.pairs[i] = pack_bf16(own_b.x, own_b.y);
      gated.pairs[i] = pack_bf16(own_gated.x, own_gated.y);
    }
    __nv_bfloat16* const place = static_cast<__nv_bfloat16*>(params.c) + product_place();
    __stcs(reinterpret_cast<int4*>(place), da.bits);
    __stcs(reinterpret_cast<int4*>(place + params.output_columns), db.bits);
    __stcs(reinterpret_cast<int4*>(params.weighted + (product_place() + first_column) / 2), gated.bits);
    return part;
  }

  /// x and y, which are a and b, become their gradients.
  __device__ __forceinline__ void replace_one(float d, float& x, float& y, float& gated_activation, float& part) const {
    const float sigmoid = ptx::reciprocal(1.0f + ptx::exp2(x * -1.4426950408889634f)), silu = x * sigmoid;
    const float activated = silu * y, gated = gate * d;
    part += d * activated;
    x = gated * y * (sigmoid + silu * (1.0f - sigmoid));
    y = gated * silu;
    gated_activation = gate * activated;
  }
};

}  // namespace tatr::sm90
