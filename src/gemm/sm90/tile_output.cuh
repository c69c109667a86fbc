// Sums on their way to memory: rounded to bf16 in registers, then stored 64 columns at a time.
#pragma once

#include "gemm/sm90/gemm_storage.cuh"

namespace tatr::sm90 {

__device__ inline std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const std::uint32_t&>(pair);
}

__device__ inline float2 unpack_bf16(std::uint32_t pair) {
  return __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(pair));
}

__device__ inline float silu_times(float gate, float up) { return __fdividef(gate, 1.0f + __expf(-gate)) * up; }

/// 64 rows of a tile, rounded, on their way out.
template <class Config>
struct TileOutput {
  static constexpr int kSums = Config::kSums, kPerChunk = kStoreColumns / 4;
  static constexpr int kProductChunks = Config::kKeep ? Config::kBlockColumns / kStoreColumns : 0;
  static constexpr int kSteps = kProductChunks + Config::kOutputColumns / kStoreColumns;  // stores of a tile
  static constexpr int kPacked = (Config::kKeep ? Config::kBlockColumns : Config::kOutputColumns) / 4;
  const GemmParams& params;
  const GemmMaps& maps;
  SharedStorage<Config>& shared;
  int warpgroup;
  std::uint32_t packed[kPacked];  // register i: rows i % 2 * 8 apart, columns i / 2 * 8 apart
  std::int32_t first_row = 0, valid_rows = 0, first_column = 0, expert = 0;
  bool pending = false;

  /// `block` of the tile's 64 rows.
  __device__ __forceinline__ void take(const float (&sums)[kSums], const TileItem& item, int block) {
    first_row = item.first_row + block * 64;
    valid_rows = item.valid_rows - block * 64;
    first_column = item.column_tile * Config::kOutputColumns;
    expert = item.expert;
    if constexpr (Config::kFp32) {
      store_sums(sums);
    } else {
      round(sums);
      pending = true;
    }
  }

  /// Store kStep of kSteps. All threads of the warpgroup; kStep counts up from 0.
  template <int kStep>
  __device__ __forceinline__ void step() {
    const std::uint32_t buffer = ptx::shared_address(shared.results.blocks[warpgroup][kStep % kStoreBuffers]);
    const bool storer = threadIdx.x % 128 == 0;
    if (storer) ptx::wait_stores_read<kStoreBuffers - 1>();
    synchronise();  // the buffer is free
    write_swizzled<kStep>(buffer);
    ptx::fence_async_shared();
    synchronise();  // the buffer is written
    if (Config::kReducesRows || valid_rows >= 64) {
      if (storer) store_block<kStep>(buffer);
    } else {
      store_guarded<kStep>(buffer);
    }
    if (storer) ptx::commit_stores();  // an empty group where nothing went: groups count buffers
  }

  /// Before the CTA leaves: its shared memory goes to others.
  __device__ static void finish() {
    if (threadIdx.x % 128 == 0) ptx::wait_stores_read<0>();
  }

 private:
  __device__ __forceinline__ void round(const float (&sums)[kSums]) {
#pragma unroll
    for (int i = 0; i < kPacked; ++i) {
      if constexpr (Config::kSwiglu && !Config::kKeep) {
        constexpr int kUp = kSums / 2;  // gate and up of one output are in one thread, this far apart
        packed[i] =
            pack_bf16(silu_times(sums[2 * i], sums[2 * i + kUp]), silu_times(sums[2 * i + 1], sums[2 * i + 1 + kUp]));
      } else {
        packed[i] = pack_bf16(sums[2 * i], sums[2 * i + 1]);
      }
    }
  }

  __device__ void synchronise() const { ptx::named_barrier(1 + warpgroup, 128); }

  /// Register i of the 16 that a store takes; the activation is made of what was kept, as it was rounded.
  template <int kStep>
  __device__ __forceinline__ std::uint32_t value(int i) const {
    if constexpr (Config::kKeep && kStep >= kProductChunks) {
      const int at = (kStep - kProductChunks) * kPerChunk + i;
      const float2 gate = unpack_bf16(packed[at]), up = unpack_bf16(packed[at + kPacked / 2]);
      return pack_bf16(silu_times(gate.x, up.x), silu_times(gate.y, up.y));
    } else {
      return packed[kStep * kPerChunk + i];
    }
  }

  template <int kStep>
  __device__ __forceinline__ void write_swizzled(std::uint32_t buffer) const {
    const int lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
#pragma unroll
    for (int i = 0; i < kStoreColumns / 8; i += 2) {
      const std::uint32_t a = value<kStep>(2 * i), b = value<kStep>(2 * i + 1), c = value<kStep>(2 * i + 2),
                          d = value<kStep>(2 * i + 3);
      if constexpr (Config::kTranspose) {
        const int row = (i + lane / 16) * 8 + lane % 8, segment = warp * 2 + lane / 8 % 2;
        ptx::store_matrices_x4_transposed(buffer + row * 128 + (segment ^ row % 8) * 16, a, b, c, d);
      } else {
        const int row = warp * 16 + lane % 16, segment = i + lane / 16;
        ptx::store_matrices_x4(buffer + row * 128 + (segment ^ row % 8) * 16, a, b, c, d);
      }
    }
  }

  template <int kStep>
  __device__ __forceinline__ void store_block(std::uint32_t buffer) const {
    if constexpr (Config::kReducesRows) {
      const int column = first_column + kStep * kStoreColumns;
      ptx::store_3d(&maps.c, buffer, Config::kTranspose ? first_row : column, Config::kTranspose ? column : first_row,
                    expert, ptx::kEvictFirst);
    } else if constexpr (kStep < kProductChunks) {
      ptx::store_3d(&maps.product, buffer, product_column<kStep>(), product_half<kStep>(), first_row, ptx::kEvictFirst);
    } else {
      ptx::store_2d(&maps.c, buffer, first_column + (kStep - kProductChunks) * kStoreColumns, first_row,
                    ptx::kEvictFirst);
    }
  }

  template <int kStep>
  __device__ int product_column() const {
    return first_column + kStep % (kProductChunks / 2) * kStoreColumns;
  }
  template <int kStep>
  __device__ static constexpr int product_half() {
    return kStep / (kProductChunks / 2);
  }

  /// The rows below belong to another expert: a bulk store would overwrite them.
  template <int kStep>
  __device__ __forceinline__ void store_guarded(std::uint32_t buffer) const {
    if constexpr (kStep < kProductChunks) {
      store_rows(buffer, params.product + product_half<kStep>() * params.output_columns, 2 * params.output_columns,
                 product_column<kStep>());
    } else {
      store_rows(buffer, static_cast<__nv_bfloat16*>(params.c), params.output_columns,
                 first_column + (kStep - kProductChunks) * kStoreColumns);
    }
  }

  __device__ __forceinline__ void store_rows(std::uint32_t buffer, __nv_bfloat16* target, int pitch, int first) const {
    const int thread = threadIdx.x % 128, segment = thread % 8, column = first + segment * 8;
    if (column >= params.output_columns) return;
#pragma unroll 1
    for (int row = thread / 8; row < valid_rows; row += 16) {
      const int4 value = ptx::load_shared_int4(buffer + row * 128 + (segment ^ row % 8) * 16);
      *reinterpret_cast<int4*>(target + static_cast<std::int64_t>(first_row + row) * pitch + column) = value;
    }
  }

  /// As they are, straight from registers: either way of writing them fills whole sectors of 32 bytes.
  __device__ __forceinline__ void store_sums(const float (&sums)[kSums]) const {
    const int lane = threadIdx.x % 32, row = first_row + threadIdx.x % 128 / 32 * 16 + lane / 4;
    const std::int64_t rows = params.output_rows, columns = params.output_columns;
    float* const c = static_cast<float*>(params.c) + expert * rows * columns;
#pragma unroll
    for (int i = 0; i < kSums; i += 2) {
      const int own_row = row + i / 2 % 2 * 8, column = first_column + i / 4 * 8 + lane % 4 * 2;
      if (own_row >= rows || column >= columns) continue;
      if constexpr (Config::kTranspose) {
        c[column * rows + own_row] = sums[i];
        c[(column + 1) * rows + own_row] = sums[i + 1];
      } else {
        *reinterpret_cast<float2*>(c + own_row * columns + column) = make_float2(sums[i], sums[i + 1]);
      }
    }
  }
};

}  // namespace tatr::sm90
