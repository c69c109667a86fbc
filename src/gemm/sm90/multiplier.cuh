// The products of a warpgroup, one k block after the other: what waits for loaders and gives stages back to them.
#pragma once

#include "gemm/sm90/gemm_storage.cuh"
#include "gemm/sm90/wgmma.cuh"

namespace tatr::sm90 {

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
    constexpr bool kAcrossA = Config::kAcrossA, kAcrossB = Config::kAcrossB;
    const int skipped = Config::kPingPong ? 0 : warpgroup * kBytesA / 2;
    const std::uint64_t a =
        ptx::operand_descriptor(ptx::shared_address(shared.a[stage.index]) + skipped, kAcrossA ? kBoxBytes : 0);
    const std::uint64_t b =
        ptx::operand_descriptor(ptx::shared_address(shared.b[stage.index]), kAcrossB ? kBoxBytes : 0);
    wait_full();
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < kBlockDepth / 16; ++step) {
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        ptx::wgmma_k16<kAcrossA, kAcrossB>(
            sums[block], a + block * (kBytesA / 2 / ptx::kDescriptorUnit) + step * ptx::k_step(kAcrossA),
            b + step * ptx::k_step(kAcrossB), !first || step > 0);
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

}  // namespace tatr::sm90
