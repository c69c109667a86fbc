// Turns failed CUDA calls into CudaError. For files that see the CUDA runtime only.
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
