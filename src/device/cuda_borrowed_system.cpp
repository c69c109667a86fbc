// The GPU as a BorrowedSystem. Compiled only where the CUDA runtime is.
#include <cuda_runtime_api.h>

#include <string>
#include <utility>

#include "core/error.hpp"
#include "device/borrowed_system.hpp"
#include "device/cuda_check.hpp"

namespace tatr {

namespace {

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  TATR_CUDA_CHECK(cudaDeviceGetAttribute(&value, which, index));
  return value;
}

class BorrowedCuda final : public BorrowedSystem {
 public:
  explicit BorrowedCuda(int index) : index_(index) {
    device_.is_gpu = true;
    device_.compute_capability =
        10 * attribute(cudaDevAttrComputeCapabilityMajor, index) + attribute(cudaDevAttrComputeCapabilityMinor, index);
    device_.multiprocessors = attribute(cudaDevAttrMultiProcessorCount, index);
  }

  bool is_cuda() const override { return true; }
  std::string name() const override { return "cuda:" + std::to_string(index_); }
  CUstream_st* stream() const override { return stream_; }
  int index() const override { return index_; }
  const DeviceInfo& device() const override { return device_; }
  void use_stream(CUstream_st* stream) override { stream_ = stream; }
  void synchronize() override { TATR_CUDA_CHECK(cudaStreamSynchronize(stream_)); }
  std::size_t available_bytes() const override {
    std::size_t free_bytes = 0, total_bytes = 0;
    TATR_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    return free_bytes;
  }
  std::unique_ptr<Recording> record(std::function<void()>) override {
    throw EnvironmentError("a borrowed stream is recorded by its owner");
  }

 protected:
  void copy_bytes_to_host(void* host, const void* data, std::size_t bytes) override {
    copy_bytes_by(host, data, bytes, cudaMemcpyDeviceToHost);
    synchronize();
  }
  void copy_bytes_from_host(void* data, const void* host, std::size_t bytes) override {
    copy_bytes_by(data, host, bytes, cudaMemcpyHostToDevice);
    synchronize();
  }
  void copy_bytes(void* to, const void* from, std::size_t bytes) override {
    copy_bytes_by(to, from, bytes, cudaMemcpyDeviceToDevice);
  }

 private:
  void copy_bytes_by(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    TATR_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kind, stream_));
  }

  int index_;
  DeviceInfo device_;
  cudaStream_t stream_ = nullptr;
};

}  // namespace

std::unique_ptr<BorrowedSystem> borrow_cuda(int index) {
  check_cuda_device(index);
  return std::make_unique<BorrowedCuda>(index);
}

int CurrentDevice::exchange(int device) {
  int before = 0;
  if (cudaGetDevice(&before) != cudaSuccess || before == device) return -1;
  return cudaSetDevice(device) == cudaSuccess ? before : -1;  // what follows tells what is wrong
}

}  // namespace tatr
