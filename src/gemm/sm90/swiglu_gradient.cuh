// The gradient through SwiGLU and the gate, of a tile of dA. With (a, b) the halves of the row's product as the forward
// pass kept them, s = sigmoid(a) and g the row's gate:
//
//   gradient of a       g dA b s (1 + a (1 - s))          gated activation    g a s b
//   gradient of b       g dA a s                          gradient of g       sum over the row of dA a s b
//
// dA waits in shared memory, rounded to bf16, and so leaves the registers to the next tile's sums and to this
// arithmetic. A warp reads what it wrote itself: its 16 rows, one behind each of the next tile's first k blocks.
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
  static constexpr int kSteps = 16;  // rows of a warp
  static constexpr int kAhead = TATR_AHEAD;   // of them, whose products are on their way
  static_assert(!Config::kGradient || Config::kBlockColumns == 32 * 8);
  struct Product {
    EightColumns a, b;
    float gate;
  };
  const GemmParams& params;
  const GemmMaps& maps;
  SharedStorage<Config>& shared;
  int warpgroup;
  std::int32_t first_row = 0, valid_rows = 0, column_tile = 0;  // of the warp's rows
  Product ahead[kAhead];
  bool pending = false;

  /// Before the tile's products: what will be asked for after them comes into L2 meanwhile.
  __device__ __forceinline__ void expect(const TileItem& item) const {
    constexpr int kLine = 64, kLines = Config::kBlockColumns / kLine;  // elements; of half a row
    const int own = item.first_row + static_cast<int>(threadIdx.x) / 32 * kSteps + lane() / (2 * kLines),
              half = lane() / kLines % 2, first = item.column_tile * Config::kBlockColumns + lane() % kLines * kLine;
    if (first >= params.output_columns) return;
#pragma unroll
    for (int i = 0; i < kSteps; i += 32 / (2 * kLines)) {
      const std::int64_t row = own + i;
      if (row - item.first_row >= item.valid_rows) continue;
      ptx::prefetch_l2(params.product + (row * 2 + half) * params.output_columns + first);
    }
  }

  __device__ __forceinline__ void take(const float (&sums)[kSums], const TileItem& item, int) {
    __syncwarp();  // all lanes have read their part of the tile before
    const int row = lane() % 16;
#pragma unroll
    for (int i = 0; i < kSums; i += 8) {
      const int segment = i / 4 + lane() / 16;
      ptx::store_matrices_x4(address(row, segment), pack_bf16(sums[i], sums[i + 1]),
                             pack_bf16(sums[i + 2], sums[i + 3]), pack_bf16(sums[i + 4], sums[i + 5]),
                             pack_bf16(sums[i + 6], sums[i + 7]));
    }
    __syncwarp();
    const int skipped = static_cast<int>(threadIdx.x) / 32 * kSteps;
    first_row = item.first_row + skipped;
    valid_rows = item.valid_rows - skipped;
    column_tile = item.column_tile;
    pending = true;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) load(i);
  }

  /// Row kStep. All threads of the warp.
  template <int kStep>
  __device__ __forceinline__ void step() {
    if (kStep >= valid_rows) return;
    Product product = ahead[kStep % kAhead];
    if (kStep + kAhead < kSteps) load(kStep + kAhead);
    replace(kStep, product);
  }

  __device__ static void finish() {}

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ int column() const { return column_tile * Config::kBlockColumns + lane() * 8; }

  /// Of 16 bytes of one of the warp's rows, in rows of 512 bytes: neighbouring rows, as neighbouring segments, in
  /// different banks.
  __device__ std::uint32_t address(int row, int segment) const {
    return ptx::shared_address(shared.results.rows[threadIdx.x / 32][row]) + (segment ^ row % 8) * 16;
  }

  __device__ __forceinline__ std::int64_t product_place(int row) const {
    return static_cast<std::int64_t>(first_row + row) * 2 * params.output_columns + column();
  }

  __device__ __forceinline__ void load(int row) {
    if (row >= valid_rows || column() >= params.output_columns) return;
    Product& product = ahead[row % kAhead];
    const __nv_bfloat16* const place = params.product + product_place(row);
    product.a.bits = __ldcs(reinterpret_cast<const int4*>(place));
    product.b.bits = __ldcs(reinterpret_cast<const int4*>(place + params.output_columns));
    product.gate = __ldg(params.gate + first_row + row);
  }

  __device__ __forceinline__ void replace(int row, Product& product) const {
    EightColumns d, weighted;
    d.bits = ptx::load_shared_int4(address(row, lane()));
    float gate_gradient = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 own = unpack_bf16(d.pairs[i]);
      float2 a = unpack_bf16(product.a.pairs[i]), b = unpack_bf16(product.b.pairs[i]), gated;
      replace_one(own.x, product.gate, a.x, b.x, gated.x, gate_gradient);
      replace_one(own.y, product.gate, a.y, b.y, gated.y, gate_gradient);
      product.a.pairs[i] = pack_bf16(a.x, a.y);
      product.b.pairs[i] = pack_bf16(b.x, b.y);
      weighted.pairs[i] = pack_bf16(gated.x, gated.y);
    }
    const bool there = column() < params.output_columns;
    if (there) {
      __nv_bfloat16* const place = static_cast<__nv_bfloat16*>(params.c) + product_place(row);
      __stcs(reinterpret_cast<int4*>(place), product.a.bits);
      __stcs(reinterpret_cast<int4*>(place + params.output_columns), product.b.bits);
      __stcs(reinterpret_cast<int4*>(params.weighted +
                                     static_cast<std::int64_t>(first_row + row) * params.output_columns + column()),
             weighted.bits);
    }
    store_gate_gradient(row, there ? gate_gradient : 0.0f);
  }

  /// a and b become their gradients.
  __device__ static __forceinline__ void replace_one(float d, float gate, float& a, float& b, float& weighted,
                                                     float& gate_gradient) {
    const float sigmoid = ptx::reciprocal(1.0f + ptx::exp2(a * -1.4426950408889634f)), silu = a * sigmoid;
    const float activated = silu * b, gated = gate * d;
    gate_gradient += d * activated;
    a = gated * b * (sigmoid + silu * (1.0f - sigmoid));
    b = gated * silu;
    weighted = gate * activated;
  }

  /// A column tile's part: added up over them by whoever launched this, in their order.
  __device__ __forceinline__ void store_gate_gradient(int row, float part) const {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) part += __shfl_xor_sync(~0u, part, distance);
    if (lane() != 0) return;
    params.gate_gradient[static_cast<std::int64_t>(column_tile) * params.rows_bound + first_row + row] = part;
  }
};

}  // namespace tatr::sm90
