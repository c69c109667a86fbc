// One PTX instruction of sm_90a a wrapper, apart from wgmma (wgmma.cuh). Decides nothing: who waits for what, and which
// bytes a barrier counts, is the kernel's business. Shared-memory addresses are 32-bit, in the shared window of the own
// CTA unless a name says cluster. Instructions are described in the PTX ISA manual, "Parallel synchronization" and
// "Tensor".
#pragma once

#include <cuda.h>

#include <cstdint>

namespace tatr::ptx {

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// --- mbarrier ---

__device__ __forceinline__ void mbarrier_init(std::uint32_t barrier, std::uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/// Makes initialised barriers visible to the other CTAs of the cluster and to the copy engine.
__device__ __forceinline__ void fence_mbarrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/// `barrier` is an address in the cluster's shared window (map_to_cta). Orders nothing for the other CTA, not even this
/// thread's loads before: those need fence_async_shared. (To release to the whole cluster costs a fence of the whole
/// GPU's memory; what a tensor core has read, wgmma_wait knows to be read.)
__device__ __forceinline__ void mbarrier_arrive_cluster(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/// The same, and the phase also waits for `bytes` bytes.
__device__ __forceinline__ void mbarrier_arrive_cluster_expect_bytes(std::uint32_t barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cluster.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ __forceinline__ void mbarrier_arrive_expect_bytes(std::uint32_t barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/// Whether the phase of this parity has completed; may wait a little for it.
__device__ __forceinline__ bool mbarrier_try_wait(std::uint32_t barrier, std::uint32_t parity) {
  std::uint32_t done;
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
      "selp.u32 %0, 1, 0, done;\n"
      "}"
      : "=r"(done)
      : "r"(barrier), "r"(parity)
      : "memory");
  return done != 0;
}

#if defined(TATR_WATCH_WAITS)
/// A thread's wait that lasted too long, with the barrier's word in shared memory.
struct LongWait {
  std::uint32_t block, thread, barrier, parity;
  std::uint64_t state;
};

struct LongWaits {
  static constexpr std::uint32_t kRoom = 8192;
  std::uint32_t count;
  LongWait waits[kRoom];
};

__device__ LongWaits* long_waits;  // in memory of the host

__device__ inline std::uint64_t nanoseconds() {
  std::uint64_t time;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
  return time;
}

__device__ __forceinline__ void watched_wait(std::uint32_t barrier, std::uint32_t parity) {
  constexpr std::uint64_t kLongNs = 5'000'000'000;
  const std::uint64_t start = nanoseconds();
  bool told = false;
  while (!mbarrier_try_wait(barrier, parity)) {
    if (told || nanoseconds() - start < kLongNs) continue;
    told = true;
    const std::uint32_t place = atomicAdd_system(&long_waits->count, 1u);
    if (place >= LongWaits::kRoom) continue;
    std::uint64_t state;
    asm volatile("ld.shared.u64 %0, [%1];" : "=l"(state) : "r"(barrier) : "memory");
    long_waits->waits[place] = {blockIdx.x, threadIdx.x, barrier, parity, state};
    __threadfence_system();
  }
}
#endif

/// Blocks until the phase of this parity has completed.
__device__ __forceinline__ void mbarrier_wait(std::uint32_t barrier, std::uint32_t parity) {
#if defined(TATR_WATCH_WAITS)
  watched_wait(barrier, parity);
#else
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\n"
      "bra again;\n"
      "finished:\n"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
#endif
}

// --- cluster ---

__device__ __forceinline__ std::uint32_t cluster_rank() {
  std::uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

__device__ __forceinline__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}

__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

/// The address, in the cluster's shared window, of the same place in another CTA's shared memory.
__device__ __forceinline__ std::uint32_t map_to_cta(std::uint32_t address, std::uint32_t rank) {
  std::uint32_t mapped;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(mapped) : "r"(address), "r"(rank));
  return mapped;
}

/// Writes 16 bytes into a CTA of the cluster, and counts them on a barrier there; both addresses are map_to_cta's.
__device__ __forceinline__ void store_cluster_int4(std::uint32_t target, int4 value, std::uint32_t barrier) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(target),
      "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w), "r"(barrier)
      : "memory");
}

// --- bulk tensor copies ---

/// L2 policy, as createpolicy encodes it: what is written goes first when room is needed.
inline constexpr std::uint64_t kEvictFirst = 0x12F0000000000000;

__device__ __forceinline__ void prefetch_tensor_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

__device__ __forceinline__ void load_2d(std::uint32_t target, const CUtensorMap* map, std::uint32_t barrier, int x,
                                        int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4}], [%2];" ::"r"(target),
      "l"(map), "r"(barrier), "r"(x), "r"(y)
      : "memory");
}

/// Writes the box to the same place, and signals the same barrier, in every CTA whose bit is set in `ctas`.
__device__ __forceinline__ void load_2d_multicast(std::uint32_t target, const CUtensorMap* map, std::uint32_t barrier,
                                                  int x, int y, std::uint16_t ctas) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
      " [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(target),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "h"(ctas)
      : "memory");
}

__device__ __forceinline__ void load_3d(std::uint32_t target, const CUtensorMap* map, std::uint32_t barrier, int x,
                                        int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(target),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z)
      : "memory");
}

__device__ __forceinline__ void load_3d_multicast(std::uint32_t target, const CUtensorMap* map, std::uint32_t barrier,
                                                  int x, int y, int z, std::uint16_t ctas) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
      " [%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(target),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "h"(ctas)
      : "memory");
}

__device__ __forceinline__ void store_2d(const CUtensorMap* map, std::uint32_t source, int x, int y,
                                         std::uint64_t cache_hint) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group.L2::cache_hint [%0, {%2, %3}], [%1], %4;" ::"l"(map),
      "r"(source), "r"(x), "r"(y), "l"(cache_hint)
      : "memory");
}

__device__ __forceinline__ void store_3d(const CUtensorMap* map, std::uint32_t source, int x, int y, int z,
                                         std::uint64_t cache_hint) {
  asm volatile(
      "cp.async.bulk.tensor.3d.global.shared::cta.bulk_group.L2::cache_hint [%0, {%2, %3, %4}], [%1], %5;" ::"l"(map),
      "r"(source), "r"(x), "r"(y), "r"(z), "l"(cache_hint)
      : "memory");
}

__device__ __forceinline__ void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

/// Until at most kPending of this thread's store groups still have to read their shared memory.
template <int kPending>
__device__ __forceinline__ void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

/// Brings the 128-byte line of `address` into L2.
__device__ __forceinline__ void prefetch_l2(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

// --- gathering copies: 16 bytes each ---

/// from + count, in one instruction: the compiler, left to itself, takes four.
__device__ __forceinline__ const int4* advance_16(const int4* from, std::uint32_t count) {
  const int4* sum;
  asm("mad.wide.u32 %0, %1, 16, %2;" : "=l"(sum) : "r"(count), "l"(from));
  return sum;
}

__device__ __forceinline__ void copy_16(std::uint32_t target, const void* source) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(target), "l"(source) : "memory");
}

/// Copies 16 bytes, or writes zeros where `valid` is false; then `source` is not read.
__device__ __forceinline__ void copy_16_or_zero(std::uint32_t target, const void* source, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source), "r"(valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Until at most kPending of this thread's committed groups of copies are still on their way.
template <int kPending>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// --- ordinary shared memory, fences, registers ---

/// Orders this thread's ordinary accesses to shared memory before later ones by the copy engine, the tensor cores and
/// asynchronous stores; loads have their values when it ends.
__device__ __forceinline__ void fence_async_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Stores four 8 x 8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void store_matrices_x4(std::uint32_t row, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                                                  std::uint32_t d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(a), "r"(b), "r"(c),
               "r"(d)
               : "memory");
}

/// The same, each matrix transposed on its way.
__device__ __forceinline__ void store_matrices_x4_transposed(std::uint32_t row, std::uint32_t a, std::uint32_t b,
                                                             std::uint32_t c, std::uint32_t d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(a), "r"(b),
               "r"(c), "r"(d)
               : "memory");
}

__device__ __forceinline__ std::uint32_t load_shared(std::uint32_t address) {
  std::uint32_t value;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(value) : "r"(address) : "memory");
  return value;
}

__device__ __forceinline__ void store_shared(std::uint32_t address, std::uint32_t value) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
}

__device__ __forceinline__ int4 load_shared_int4(std::uint32_t address) {
  int4 value;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(address)
               : "memory");
  return value;
}

// --- arithmetic, within 2 units in the last place, denormals taken as 0 ---

__device__ __forceinline__ float exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ __forceinline__ float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// A barrier among `threads` threads; barrier 0 is __syncthreads.
__device__ __forceinline__ void named_barrier(std::uint32_t barrier, std::uint32_t threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/// Counts as having come to the barrier, without waiting there.
__device__ __forceinline__ void named_barrier_arrive(std::uint32_t barrier, std::uint32_t threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

template <std::uint32_t kRegisters>
__device__ __forceinline__ void grow_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <std::uint32_t kRegisters>
__device__ __forceinline__ void shrink_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace tatr::ptx
