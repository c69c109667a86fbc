// A kernel whose shared memory is not aligned as what it keeps there traps, and one whose memory is does not. A program
// of its own, for after a trap the process can use the GPU no more.
#include <cuda_runtime.h>

#include <cstdio>

#include "device/cuda_check.hpp"
#include "device/shared_memory.cuh"
#include "device/system.hpp"
#include "gpu_lock.hpp"

namespace {

struct alignas(1024) Tile {
  unsigned char bytes[1024];
};

__global__ void find_tile(int offset, const void** found) {
  alignas(Tile) extern __shared__ unsigned char memory[];
  *found = tatr::shared_memory_as<Tile>(memory + offset);
}

/// How a launch with the tile so many bytes too far ends.
cudaError_t end_of(int offset) {
  const void** found = nullptr;
  TATR_CUDA_CHECK(cudaMalloc(&found, sizeof *found));
  find_tile<<<1, 32, 2 * sizeof(Tile)>>>(offset, found);
  TATR_CHECK_LAUNCH(find_tile);
  return cudaDeviceSynchronize();
}

}  // namespace

int main() {
  if (tatr::cuda_device_count() == 0) {
    std::puts("skipped: no usable GPU");
    return 77;  // ctest's SKIP_RETURN_CODE
  }
  const tatr::test::GpuLock lock(0);
  const cudaError_t aligned = end_of(0), misaligned = end_of(16);
  std::printf("aligned: %s; 16 bytes too far: %s\n", cudaGetErrorString(aligned), cudaGetErrorString(misaligned));
  return aligned == cudaSuccess && misaligned != cudaSuccess ? 0 : 1;
}
