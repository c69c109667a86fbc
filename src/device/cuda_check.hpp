// Turns failed CUDA calls and launches into CudaError. For files that see the CUDA runtime only.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "core/error.hpp"

namespace tatr::detail {

inline void check_cuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it: a later check must not report this failure again
  throw CudaError(std::string(call) + " failed: " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) +
                  ", " + file + ":" + std::to_string(line) + ")");
}

}  // namespace tatr::detail

#define TATR_CUDA_CHECK(call) ::tatr::detail::check_cuda((call), #call, __FILE__, __LINE__)

// Right after a launch by <<<>>>, which returns nothing: whether the kernel was taken, not how it ends. Also while a
// stream is captured.
#define TATR_CHECK_LAUNCH(kernel) \
  ::tatr::detail::check_cuda(cudaGetLastError(), "launch of " #kernel, __FILE__, __LINE__)
