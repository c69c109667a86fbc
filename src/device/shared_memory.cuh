// Shared memory whose size a launch decides: how much of it there can be, and how it is aligned.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "device/cuda_check.hpp"

namespace tatr {

/// Lets launches of a kernel have all the shared memory of a block there is on the current device, and returns how many
/// bytes that is. As much for every launch: what one asks for depends on its shape, and another thread's may differ.
template <class Kernel>
int allow_shared_memory(Kernel kernel) {
  int device = 0, most = 0;
  cudaFuncAttributes attributes;
  TATR_CUDA_CHECK(cudaGetDevice(&device));
  TATR_CUDA_CHECK(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  TATR_CUDA_CHECK(cudaFuncGetAttributes(&attributes, kernel));
  most -= static_cast<int>(attributes.sharedSizeBytes);
  TATR_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
  return most;
}

/// A function of its own, never inlined: a trap within a kernel makes the compiler spend registers elsewhere in it (21
/// more a thread where experts are processed), a call that is never made does not.
static __device__ __noinline__ void stop_misaligned() { __trap(); }

/// What a launch gave a block of shared memory, as what the kernel keeps there. Where it begins is up to the compiler
/// and the driver; at a wrong address bulk copies and swizzled tiles would come out as wrong numbers. So one thread of
/// each block looks, and traps if the address is not a T's.
template <class T>
__device__ __forceinline__ T* shared_memory_as(void* memory) {
  std::uint32_t address;  // by way of an instruction: the compiler would take alignas at its word, and not look
  asm volatile("mov.b32 %0, %1;" : "=r"(address) : "r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(memory))));
  if (threadIdx.x == 0 && address % alignof(T) != 0) stop_misaligned();
  return static_cast<T*>(memory);
}

}  // namespace tatr
