// Shared memory whose size a launch decides.
#pragma once

#include <cuda_runtime.h>

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

}  // namespace tatr
