// Warpgroup matrix products of sm_90a: bf16 operands in shared memory, in rows of 128 bytes under the 128-byte swizzle,
// along k or across it, and fp32 sums in registers. Row and column of each sum: see the PTX ISA manual, wgmma m64nNk16,
// matrix D.
#pragma once

#include <cstdint>

namespace tatr::ptx {

inline constexpr int kDescriptorUnit = 16;  // bytes, of a descriptor's address

/// Of an operand at a multiple of 1024 bytes (plus whole k steps). Groups of eight rows of 128 bytes lie 1024 bytes
/// apart. An operand whose rows run across k is in boxes of 64 of its own index, `box_bytes` apart; along k, 0.
__device__ __forceinline__ std::uint64_t operand_descriptor(std::uint32_t address, std::uint32_t box_bytes = 0) {
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  constexpr std::uint64_t kGroupStride = std::uint64_t{1024 / kDescriptorUnit} << 32;
  const std::uint64_t leading = box_bytes == 0 ? 1 : box_bytes / kDescriptorUnit;  // 1: not used
  return kSwizzle128 | kGroupStride | leading << 16 | ((address & 0x3ffff) / kDescriptorUnit);
}

/// What 16 of k are from the next, in units of a descriptor's address.
constexpr int k_step(bool across) { return (across ? 16 * 128 : 16 * 2) / kDescriptorUnit; }

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// Keeps the compiler from moving accesses of the sums across this point.
template <int kCount>
__device__ __forceinline__ void pin_sums(float (&sums)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

#define TATR_SUMS_8(i)                                                                                        \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define TATR_SUMS_64(i)                                                                              \
  TATR_SUMS_8(i), TATR_SUMS_8(i + 8), TATR_SUMS_8(i + 16), TATR_SUMS_8(i + 24), TATR_SUMS_8(i + 32), \
      TATR_SUMS_8(i + 40), TATR_SUMS_8(i + 48), TATR_SUMS_8(i + 56)

/// d (64 x 256) = a * b^T over 16 of k, plus d if `accumulate`. kAcrossA, kAcrossB: whether an operand's rows run
/// across k. Asynchronous: wgmma_wait before d is read.
template <bool kAcrossA, bool kAcrossB>
__device__ __forceinline__ void wgmma_k16(float (&d)[128], std::uint64_t a, std::uint64_t b, bool accumulate) {
  asm volatile(
      "{\n"
      ".reg .pred accumulate;\n"
      "setp.ne.b32 accumulate, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
      "}, %128, %129, accumulate, 1, 1, %131, %132;\n"
      "}"
      : TATR_SUMS_64(0), TATR_SUMS_64(64)
      : "l"(a), "l"(b), "r"(static_cast<std::int32_t>(accumulate)), "n"(static_cast<int>(kAcrossA)),
        "n"(static_cast<int>(kAcrossB)));
}

/// The same for d (64 x 128).
template <bool kAcrossA, bool kAcrossB>
__device__ __forceinline__ void wgmma_k16(float (&d)[64], std::uint64_t a, std::uint64_t b, bool accumulate) {
  asm volatile(
      "{\n"
      ".reg .pred accumulate;\n"
      "setp.ne.b32 accumulate, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, %64, %65, accumulate, 1, 1, %67, %68;\n"
      "}"
      : TATR_SUMS_64(0)
      : "l"(a), "l"(b), "r"(static_cast<std::int32_t>(accumulate)), "n"(static_cast<int>(kAcrossA)),
        "n"(static_cast<int>(kAcrossB)));
}

#undef TATR_SUMS_64
#undef TATR_SUMS_8

}  // namespace tatr::ptx
