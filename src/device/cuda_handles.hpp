// Owners of what the CUDA runtime hands out. For files that see the CUDA runtime only. Where the device was abandoned
// (core/interrupt.hpp), nothing is given back: the driver would wait for it.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <type_traits>

#include "core/interrupt.hpp"
#include "device/cuda_check.hpp"

namespace tatr {

template <auto kDestroy>
struct CudaDeleter {
  template <class Handle>
  void operator()(Handle handle) const {
    if (!device_is_abandoned()) kDestroy(handle);
  }
};

template <class Handle, auto kDestroy>
using CudaOwner = std::unique_ptr<std::remove_pointer_t<Handle>, CudaDeleter<kDestroy>>;

using CudaEvent = CudaOwner<cudaEvent_t, cudaEventDestroy>;
using CudaGraphText = CudaOwner<cudaGraph_t, cudaGraphDestroy>;
using CudaGraphExec = CudaOwner<cudaGraphExec_t, cudaGraphExecDestroy>;

inline CudaEvent make_cuda_event() {
  cudaEvent_t event = nullptr;
  TATR_CUDA_CHECK(cudaEventCreate(&event));
  return CudaEvent(event);
}

}  // namespace tatr
