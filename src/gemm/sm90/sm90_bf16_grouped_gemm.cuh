// C[r, :] = A[r, :] * W[expert of row r]^T for rows sorted by expert: bf16 in, fp32 sums, bf16 out, on sm_90a.
// Optionally A's rows are gathered from a token list, and C is silu(gate) * up of the two halves of the product.
//
// Persistent and warp-specialised: one warp walks the tiles, one loads operands (two more gather rows), two warpgroups
// multiply. Cooperative schedule: both work on one tile of 128 x 256, whose results leave behind the next tile's first
// products: once summed they are rounded to bf16 in registers, and stored 64 columns at a time while the tensor cores
// already work on the next tile. Ping-pong schedule: they work in turn on tiles of 128 x 128, and while one stores the
// other multiplies; for short k, where tiles end often.
//
// Which tile is whose: tile_scheduler.cuh. Which configuration runs, and whether any can: tatr_plan.hpp.
#pragma once

#include <cuda_bf16.h>

#include "device/shared_memory.cuh"
#include "gemm/sm90/gemm_config.hpp"
#include "gemm/sm90/ptx.cuh"
#include "gemm/sm90/tile_scheduler.cuh"
#include "gemm/sm90/wgmma.cuh"

namespace tatr::sm90 {

// --- config ---

inline constexpr int kMultipliers = 2;    // warpgroups 0 and 1, 64 rows each; warpgroup 2 loads
inline constexpr int kItemRing = 2;       // items that the scheduler may be ahead
inline constexpr int kStoreColumns = 64;  // 128 bytes of results, one row of the 128-byte swizzle
inline constexpr int kGatherWarps = 2;
inline constexpr int kGatherLag = 1;  // stages

inline constexpr int kBytesA = kBlockRows * kBlockDepth * 2;
inline constexpr std::uint16_t kBothCtas = 3;

template <class Config>
inline constexpr int kBytesB = Config::kBlockColumns* kBlockDepth * 2;
template <class Config>
inline constexpr int kChunks = Config::kOutputColumns / kStoreColumns;

// 168 a thread at launch; after the exchange 64512 of 65536 are in use.
inline constexpr std::uint32_t kLoaderRegisters = 56, kMultiplierRegisters = 224;

// --- params ---

struct GemmParams {
  TileGrid grid;
  const std::int32_t* offsets;  // [experts + 1]
  std::int32_t* queue;          // items taken, and clusters that have seen the end: both 0 between launches
  __nv_bfloat16* c;
  std::int32_t output_columns;  // of C
  std::int32_t up_row;          // first row of the up half of the weights (swiglu)
  std::int32_t k;
  std::int32_t k_stagger;           // k blocks by which each expert's start in k is shifted against the one before
  const __nv_bfloat16* x;           // [tokens, k] (gather)
  const std::int32_t* token_index;  // [rows]; negative: a row of zeros (gather)
};

// --- shared storage ---

/// Under the 128-byte swizzle a copy and a product agree on where a segment lies only if its eight rows begin at a
/// multiple of this.
inline constexpr std::size_t kSwizzleBytes = 1024;

/// Items on their way from the scheduler to all who work on them.
struct ItemQueue {
  alignas(16) int4 items[kItemRing];
  std::uint64_t full[kItemRing], empty[kItemRing];  // empty: of the cluster's first CTA, for both
};

template <class Config>
struct SharedStorage {
  alignas(kSwizzleBytes) unsigned char a[Config::kStages][kBytesA];
  alignas(kSwizzleBytes) unsigned char b[Config::kStages][kBytesB<Config>];
  alignas(kSwizzleBytes) unsigned char c[kMultipliers][kStoreBuffers][64 * kStoreColumns * 2];
  ItemQueue items;
  std::uint64_t full[Config::kStages], empty[Config::kStages];
};

/// A place in a ring of buffers, and the parity of the phase that a reader waits for there.
template <int kCount>
struct RingPosition {
  int index = 0;
  std::uint32_t parity = 0;
  __device__ void advance() {
    if (++index == kCount) index = 0, parity ^= 1;
  }
  __device__ void advance_by(int steps) {
    parity ^= (index + steps) / kCount & 1;
    index = (index + steps) % kCount;
  }
};

// --- scheduler ---

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
__device__ inline void publish_items(const GemmParams& params, ItemQueue& queue) {
  TileScheduler scheduler(params.grid, params.offsets);
  RingPosition<kItemRing> slot;
  const int lane = threadIdx.x % 32, clusters = gridDim.x / kCluster;
  std::int32_t index = blockIdx.x / kCluster;
  while (true) {
    const TileItem item = scheduler.find(index, lane);
    ptx::mbarrier_wait(ptx::shared_address(&queue.empty[slot.index]), slot.parity ^ 1);
    if (lane < kCluster) {
      const std::uint32_t barrier = ptx::map_to_cta(ptx::shared_address(&queue.full[slot.index]), lane);
      const std::uint32_t target = ptx::map_to_cta(ptx::shared_address(&queue.items[slot.index]), lane);
      const int rows = item.valid_rows | item.shares_rows << 16 | item.half << 17;
      ptx::mbarrier_arrive_cluster_expect_bytes(barrier, sizeof(int4));
      ptx::store_cluster_int4(target, {item.first_row, rows, item.column_tile, item.expert}, barrier);
    }
    __syncwarp();
    if (item.expert < 0) break;
    slot.advance();
    index = clusters + take_index(params.queue);
  }
  close_queue(params, clusters);
}

/// A warp's view of the items published to its CTA.
class ItemReader {
 public:
  __device__ explicit ItemReader(ItemQueue& queue) : queue_(queue) {}

  /// All lanes of a warp together, or one lane that reads for it alone. False: no more items.
  template <bool kLoneLane = false>
  __device__ __forceinline__ bool next(TileItem& item) {
    ptx::mbarrier_wait(ptx::shared_address(&queue_.full[slot_.index]), slot_.parity);
    const int4 raw = ptx::load_shared_int4(ptx::shared_address(&queue_.items[slot_.index]));
    item = {raw.x, raw.y & 0xffff, raw.z, raw.w, (raw.y >> 16 & 1) != 0, (raw.y >> 17 & 1) != 0};
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

/// Where an expert starts in k: experts worked on together should not all read the same offset in rows of equal, even
/// length.
__device__ inline int first_k_block(const GemmParams& params, int expert, int k_blocks) {
  return static_cast<int>(static_cast<std::uint32_t>(expert) * static_cast<std::uint32_t>(params.k_stagger) %
                          static_cast<std::uint32_t>(k_blocks));
}

// --- producer ---

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

  /// Box 0 or 1 of the tile's weights; with swiglu the gate rows and the up rows.
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

  __device__ void run() const {  // one thread
    const int k_blocks = ceil_div(params.k, kBlockDepth);
    ItemReader items(shared.items);
    RingPosition<Config::kStages> stage;
    for (TileItem item; items.next<true>(item);) {
      const int bytes = kBytesB<Config> + (Config::kGather ? 0 : item.half ? kBytesA / 2 : kBytesA);
      int k_block = first_k_block(params, item.expert, k_blocks);
      for (int i = 0; i < k_blocks; ++i, stage.advance()) {
        const std::uint32_t barrier = ptx::shared_address(&shared.full[stage.index]);
        ptx::mbarrier_wait(ptx::shared_address(&shared.empty[stage.index]), stage.parity ^ 1);
        ptx::mbarrier_arrive_expect_bytes(barrier, bytes);
        if constexpr (!Config::kGather) load_a(item, stage.index, barrier, k_block * kBlockDepth);
        load_b(item, stage.index, barrier, k_block * kBlockDepth);
        if (++k_block == k_blocks) k_block = 0;
      }
    }
  }
};

/// Gathers A's rows, which no bulk load can. Four lanes copy a row's 128 bytes in two steps; the swizzle is done by
/// hand. Instructions are what counts here, for two warps must keep up with the tensor cores: where all is there to be
/// copied, three for each two copies.
template <class Config>
struct Gatherer {
  static constexpr int kLanes = 4, kSegments = kBlockDepth / 8;  // of 16 bytes, in a row of a stage
  static constexpr int kRowsAtOnce = kGatherWarps * 32 / kLanes, kRowsEach = kBlockRows / kRowsAtOnce;
  static_assert(kRowsAtOnce % 8 == 0, "a thread's rows are all the same one of eight, so its swizzle is constant");
  static constexpr std::uint32_t kNoRow = ~0u;
  const GemmParams& params;
  SharedStorage<Config>& shared;
  int thread;                         // of the gathering warps
  std::uint32_t segments[kRowsEach];  // where this thread's rows begin in x, in 16 bytes: one register each, not two
  bool whole;                         // all the warp's rows are there

  __device__ void find_rows(const TileItem& item) {
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

  /// A stage is announced kGatherLag stages later, when its copies are known to have landed. (Announced by the copies
  /// themselves, with cp.async.mbarrier.arrive.noinc, the kernel hung once in some hundred launches.)
  __device__ void run() {
    const int k_blocks = ceil_div(params.k, kBlockDepth);
    ItemReader items(shared.items);
    RingPosition<Config::kStages> stage, landed;
    int under_way = 0;
    for (TileItem item; items.next(item);) {
      find_rows(item);
      int k_block = first_k_block(params, item.expert, k_blocks);
      for (int i = 0; i < k_blocks; ++i, stage.advance()) {
        ptx::mbarrier_wait(ptx::shared_address(&shared.empty[stage.index]), stage.parity ^ 1);
        const int k = k_block * kBlockDepth;
        if (whole && k + kBlockDepth <= params.k) {
          copy<true>(stage.index, k);
        } else {
          copy<false>(stage.index, k);
        }
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
};

// --- consumer ---

template <class Config>
struct Multiplier {
  using Sums = float[Config::kRowBlocks][Config::kSums];
  SharedStorage<Config>& shared;
  int warpgroup;
  std::uint32_t release_base;  // shared.empty of the CTA that this lane releases stages to
  RingPosition<Config::kStages> stage;

  __device__ Multiplier(SharedStorage<Config>& storage, int group)
      : shared(storage),
        warpgroup(group),
        release_base(ptx::map_to_cta(ptx::shared_address(storage.empty), threadIdx.x % kCluster)) {}

  __device__ __forceinline__ void wait_full() const {
    ptx::mbarrier_wait(ptx::shared_address(&shared.full[stage.index]), stage.parity);
  }

  /// Starts the products of one k block, with kBlocks times 64 rows. `first`: of a tile, whose sums they begin.
  template <int kBlocks = Config::kRowBlocks>
  __device__ __forceinline__ void issue(Sums& sums, bool first) {
    constexpr int kUnit = 16;  // bytes, of a descriptor's address
    const int skipped = Config::kPingPong ? 0 : warpgroup * kBytesA / 2;
    const std::uint64_t a = ptx::operand_descriptor(ptx::shared_address(shared.a[stage.index]) + skipped);
    const std::uint64_t b = ptx::operand_descriptor(ptx::shared_address(shared.b[stage.index]));
    wait_full();
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < kBlockDepth / 16; ++step) {
      const int along_k = step * 32 / kUnit;
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        ptx::wgmma_k16(sums[block], a + block * (kBytesA / 2 / kUnit) + along_k, b + along_k, !first || step > 0);
      }
    }
    ptx::wgmma_commit();
    stage.advance();
  }

  /// Gives the stage that lies `behind` (1 or 2) before the current one back to the loaders of both CTAs.
  __device__ __forceinline__ void release(int behind) const {
    const int index = stage.index - behind + (stage.index < behind ? Config::kStages : 0);
    if (threadIdx.x % 32 < kCluster) ptx::mbarrier_arrive_cluster(release_base + index * sizeof(std::uint64_t));
  }

  /// Leaves the k block just started running, and gives the stage of the one before back.
  __device__ __forceinline__ void finish_previous() const {
    ptx::wgmma_wait<1>();
    release(2);
  }

  /// Waits for all products of a tile, and gives its last stage back.
  template <int kBlocks = Config::kRowBlocks>
  __device__ __forceinline__ void finish(Sums& sums) const {
    ptx::wgmma_wait<0>();
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) ptx::pin_sums(sums[block]);
    release(1);
  }

  /// Passes over a tile of which this warpgroup has no rows.
  __device__ void skip(int k_blocks) {
    for (int i = 0; i < k_blocks; ++i) {
      wait_full();
      stage.advance();
      release(1);
    }
  }
};

// --- epilogue ---

__device__ inline std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const std::uint32_t&>(pair);
}

__device__ inline float silu_times(float gate, float up) { return __fdividef(gate, 1.0f + __expf(-gate)) * up; }

/// 64 rows of a tile, rounded, on their way out.
template <class Config>
struct Output {
  static constexpr int kSums = Config::kSums, kPacked = Config::kOutputColumns / 4;
  const GemmParams& params;
  const CUtensorMap& map_c;
  SharedStorage<Config>& shared;
  int warpgroup;
  std::uint32_t packed[kPacked];  // register i: rows i % 2 * 8 apart, columns i / 2 * 8 apart
  std::int32_t first_row = 0, valid_rows = 0, first_column = 0;
  bool pending = false;

  /// `block` of the tile's 64 rows.
  __device__ __forceinline__ void take(const float (&sums)[kSums], const TileItem& item, int block) {
#pragma unroll
    for (int i = 0; i < kPacked; ++i) {
      if constexpr (Config::kSwiglu) {
        constexpr int kUp = kSums / 2;  // gate and up of one output are in one thread, this far apart
        packed[i] =
            pack_bf16(silu_times(sums[2 * i], sums[2 * i + kUp]), silu_times(sums[2 * i + 1], sums[2 * i + 1 + kUp]));
      } else {
        packed[i] = pack_bf16(sums[2 * i], sums[2 * i + 1]);
      }
    }
    first_row = item.first_row + block * 64;
    valid_rows = item.valid_rows - block * 64;
    first_column = item.column_tile * Config::kOutputColumns;
    pending = true;
  }

  /// Stores columns [64 chunk, 64 chunk + 64). All threads of the warpgroup; `chunk` counts up from 0.
  template <int kChunk>
  __device__ __forceinline__ void store() {
    const std::uint32_t buffer = ptx::shared_address(shared.c[warpgroup][kChunk % kStoreBuffers]);
    const int thread = threadIdx.x % 128, column = first_column + kChunk * kStoreColumns;
    const bool storer = thread == 0;
    if (storer) ptx::wait_stores_read<kStoreBuffers - 1>();
    synchronise();  // the buffer is free
    write_swizzled<kChunk>(buffer);
    ptx::fence_async_shared();
    synchronise();  // the buffer is written
    if (valid_rows >= 64) {
      if (storer) ptx::store_2d(&map_c, buffer, column, first_row, ptx::kEvictFirst);
    } else {
      store_guarded(buffer, column);
    }
    if (storer) ptx::commit_stores();  // an empty group where nothing went: groups count buffers
  }

  /// Before the CTA leaves: its shared memory goes to others.
  __device__ static void finish() {
    if (threadIdx.x % 128 == 0) ptx::wait_stores_read<0>();
  }

 private:
  __device__ void synchronise() const { ptx::named_barrier(1 + warpgroup, 128); }

  template <int kChunk>
  __device__ __forceinline__ void write_swizzled(std::uint32_t buffer) const {
    const int lane = threadIdx.x % 32, row = threadIdx.x % 128 / 32 * 16 + lane % 16;
#pragma unroll
    for (int i = 0; i < kStoreColumns / 8; i += 2) {
      const std::uint32_t* four = packed + (kChunk * kStoreColumns / 8 + i) * 2;
      const int segment = i + lane / 16;
      ptx::store_matrices_x4(buffer + row * 128 + (segment ^ row % 8) * 16, four[0], four[1], four[2], four[3]);
    }
  }

  /// The rows below belong to another expert: a bulk store would overwrite them.
  __device__ __forceinline__ void store_guarded(std::uint32_t buffer, int first) const {
    const int thread = threadIdx.x % 128, segment = thread % 8, column = first + segment * 8;
    if (column >= params.output_columns) return;
#pragma unroll 1
    for (int row = thread / 8; row < valid_rows; row += 16) {
      const int4 value = ptx::load_shared_int4(buffer + row * 128 + (segment ^ row % 8) * 16);
      const std::int64_t place = static_cast<std::int64_t>(first_row + row) * params.output_columns + column;
      *reinterpret_cast<int4*>(params.c + place) = value;
    }
  }
};

template <class Config, int kChunk = 0>
__device__ __forceinline__ void store_all(Output<Config>& output) {
  if constexpr (kChunk < kChunks<Config>) {
    output.template store<kChunk>();
    store_all<Config, kChunk + 1>(output);
  }
}

/// The first k blocks of a tile, each with a part of the tile before it stored behind its products.
template <class Config, int kChunk = 0>
__device__ __forceinline__ void begin_tile(Multiplier<Config>& multiplier, Output<Config>& output,
                                           typename Multiplier<Config>::Sums& sums, int k_blocks) {
  if constexpr (kChunk < kChunks<Config>) {
    if (kChunk < k_blocks) multiplier.issue(sums, kChunk == 0);
    if (output.pending) output.template store<kChunk>();
    if (kChunk > 0 && kChunk < k_blocks) multiplier.finish_previous();
    begin_tile<Config, kChunk + 1>(multiplier, output, sums, k_blocks);
  }
}

template <class Config>
__device__ void multiply_together(const GemmParams& params, const CUtensorMap& map_c, SharedStorage<Config>& shared,
                                  int warpgroup) {
  const int k_blocks = ceil_div(params.k, kBlockDepth);
  Multiplier<Config> multiplier(shared, warpgroup);
  Output<Config> output{params, map_c, shared, warpgroup};
  typename Multiplier<Config>::Sums sums;
  ItemReader items(shared.items);
  for (TileItem item; items.next(item);) {
    if (item.half && warpgroup == 1) {
      multiplier.skip(k_blocks);
      continue;
    }
    begin_tile(multiplier, output, sums, k_blocks);
    for (int i = kChunks<Config>; i < k_blocks; ++i) {
      multiplier.issue(sums, false);
      multiplier.finish_previous();
    }
    multiplier.finish(sums);
    output.take(sums[0], item, warpgroup);
  }
  if (output.pending) store_all(output);
  output.finish();
}

/// One tile, or of a half tile the rows that it has, from its first product to its store. `pass_turn` is called when
/// the other warpgroup may begin.
template <int kBlocks, class Config, class PassTurn>
__device__ __forceinline__ void multiply_and_store(Multiplier<Config>& multiplier, Output<Config>& output,
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
__device__ void multiply_in_turn(const GemmParams& params, const CUtensorMap& map_c, SharedStorage<Config>& shared,
                                 int warpgroup) {
  constexpr int kFirstBarrier = 1 + kMultipliers;  // after those of Output
  const int k_blocks = ceil_div(params.k, kBlockDepth), other = 1 - warpgroup;
  const auto await_turn = [&] { ptx::named_barrier(kFirstBarrier + warpgroup, kMultipliers * 128); };
  const auto pass_turn = [&] { ptx::named_barrier_arrive(kFirstBarrier + other, kMultipliers * 128); };
  Multiplier<Config> multiplier(shared, warpgroup);
  Output<Config> output{params, map_c, shared, warpgroup};
  typename Multiplier<Config>::Sums sums;
  ItemReader items(shared.items);
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

// --- entry ---

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
__device__ void load_operands(const GemmParams& params, const CUtensorMap& map_a, const CUtensorMap& map_b,
                              SharedStorage<Config>& shared, int rank) {
  const int warp = threadIdx.x % 128 / 32;
  if (warp == 0) {
    if (threadIdx.x % 32 == 0) Loader<Config>{params, map_a, map_b, shared, rank}.run();
  } else if (warp == 1) {
    if (rank == 0) publish_items(params, shared.items);
  } else if constexpr (Config::kGather) {
    Gatherer<Config>{params, shared, static_cast<int>(threadIdx.x % 128) - 64}.run();
  }
}

template <class Config>
__global__ void __launch_bounds__(kGemmThreads, 1)
    sm90_bf16_grouped_gemm(const __grid_constant__ GemmParams params, const __grid_constant__ CUtensorMap map_a,
                           const __grid_constant__ CUtensorMap map_b, const __grid_constant__ CUtensorMap map_c) {
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
    load_operands<Config>(params, map_a, map_b, shared, rank);
  } else {
    ptx::grow_registers<kMultiplierRegisters>();
    if constexpr (Config::kPingPong) {
      multiply_in_turn(params, map_c, shared, warpgroup);
    } else {
      multiply_together(params, map_c, shared, warpgroup);
    }
  }
  __syncwarp();
  ptx::cluster_arrive();
  ptx::cluster_wait();
#endif
}

}  // namespace tatr::sm90
