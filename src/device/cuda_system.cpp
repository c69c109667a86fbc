// The GPU as a System: one device, one stream, memory from the stream's pool. Compiled only where the CUDA runtime is.
#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "device/cuda_check.hpp"
#include "device/cuda_handles.hpp"
#include "device/system.hpp"

namespace tatr {

namespace {

class CudaGraph final : public Recording {
 public:
  CudaGraph(cudaStream_t stream, const std::function<void()>& work) : stream_(stream) {
    cudaGraph_t captured = nullptr;
    TATR_CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(stream_, &captured);
      const CudaGraphText incomplete(captured);
      cudaGetLastError();
      throw;
    }
    TATR_CUDA_CHECK(cudaStreamEndCapture(stream_, &captured));
    const CudaGraphText graph(captured);
    cudaGraphExec_t made = nullptr;
    TATR_CUDA_CHECK(cudaGraphInstantiate(&made, graph.get(), 0));
    graph_.reset(made);
  }
  void replay() override {
    const GuardedCall guard("cudaGraphLaunch");
    TATR_CUDA_CHECK(cudaGraphLaunch(graph_.get(), stream_));
  }

 private:
  cudaStream_t stream_;
  CudaGraphExec graph_;
};

class CudaSystem final : public System {
 public:
  explicit CudaSystem(int index) : index_(index) {
    TATR_CUDA_CHECK(cudaSetDevice(index));
    TATR_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    TATR_CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool_, index));
    cudaDeviceProp properties{};
    TATR_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
    device_.name = properties.name;
    device_.is_gpu = true;
    device_.compute_capability = 10 * properties.major + properties.minor;
    device_.multiprocessors = properties.multiProcessorCount;
    device_.runtime = std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
    std::uint64_t keep_all =
        ~std::uint64_t{0};  // freed memory stays in the pool: later allocations cost no driver call
    TATR_CUDA_CHECK(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all));
  }
  ~CudaSystem() override {
    if (device_is_abandoned()) return;
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
    cudaMemPoolTrimTo(pool_, 0);
  }

  bool is_cuda() const override { return true; }
  std::string name() const override { return "cuda:" + std::to_string(index_); }
  CUstream_st* stream() const override { return stream_; }
  int index() const override { return index_; }
  const DeviceInfo& device() const override { return device_; }

  std::size_t available_bytes() const override {
    std::size_t free_bytes = 0, total_bytes = 0;
    TATR_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    std::uint64_t reserved = 0, used = 0;  // what the pool holds but nobody uses is free to us too
    TATR_CUDA_CHECK(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved));
    TATR_CUDA_CHECK(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used));
    return free_bytes + (reserved - used);
  }

  /// Asks again and again, for a wait in the driver would be deaf to signals and never give up. Without a pause as long
  /// as samples take; then with short ones.
  void synchronize() override {
    using Clock = std::chrono::steady_clock;
    constexpr auto kBusy = std::chrono::milliseconds(50);
    constexpr auto kPause = std::chrono::microseconds(100);
    const Clock::time_point start = Clock::now();
    std::optional<Clock::time_point> interrupted;
    cudaError_t status;
    while ((status = cudaStreamQuery(stream_)) == cudaErrorNotReady) {
      const Clock::time_point now = Clock::now();
      if (is_interrupted() && !interrupted) interrupted = now;
      // What is under way mostly ends soon, and then everything can be left in order.
      if (interrupted && seconds(now - *interrupted) > kGraceSeconds / 2) {
        abandon_device();
        stop_if_interrupted();
      }
      if (device_timeout() > 0 && seconds(now - start) > device_timeout()) {
        abandon_device();
        char limit[32];
        std::snprintf(limit, sizeof limit, "%g s", device_timeout());
        throw DeviceTimeoutError(name() + " did not finish within " + limit + " (--device-timeout)");
      }
      if (now - start > kBusy) std::this_thread::sleep_for(kPause);
    }
    TATR_CUDA_CHECK(status);
  }
  std::unique_ptr<Recording> record(std::function<void()> work) override {
    return std::make_unique<CudaGraph>(stream_, work);
  }

 protected:
  void* allocate_bytes(std::size_t bytes) override {
    const GuardedCall guard("cudaMallocAsync");
    void* pointer = nullptr;
    const cudaError_t status = cudaMallocAsync(&pointer, bytes, stream_);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      throw OutOfMemoryError(name(), bytes, available_bytes());
    }
    TATR_CUDA_CHECK(status);
    return pointer;
  }
  void deallocate_bytes(void* pointer, std::size_t) noexcept override {
    if (!device_is_abandoned()) cudaFreeAsync(pointer, stream_);
  }
  void copy_bytes_to_host(void* host, const void* data, std::size_t bytes) override {
    synchronize();  // a copy to pageable memory would itself wait, for ever
    copy_async(host, data, bytes, cudaMemcpyDeviceToHost);
    synchronize();
  }
  void copy_bytes_from_host(void* data, const void* host, std::size_t bytes) override {
    synchronize();
    copy_async(data, host, bytes, cudaMemcpyHostToDevice);
    synchronize();
  }
  void copy_bytes(void* to, const void* from, std::size_t bytes) override {
    copy_async(to, from, bytes, cudaMemcpyDeviceToDevice);
  }

 private:
  void copy_async(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    const GuardedCall guard("cudaMemcpyAsync");
    TATR_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kind, stream_));
  }

  static double seconds(std::chrono::steady_clock::duration time) {
    return std::chrono::duration<double>(time).count();
  }

  int index_;
  DeviceInfo device_;
  cudaStream_t stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
};

}  // namespace

int cuda_device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

void check_cuda_device(int index) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver) {
    throw EnvironmentError("cuda:" + std::to_string(index) + ": the GPU driver is older than CUDA " +
                           std::to_string(CUDART_VERSION / 1000) +
                           " needs (or absent); update it, or use --device model:h100 or --device cpu");
  }
  if (status != cudaSuccess || count == 0) {
    throw EnvironmentError("cuda:" + std::to_string(index) + ": no usable GPU (" + cudaGetErrorString(status) +
                           "); use --device model:h100 or --device cpu");
  }
  if (index < 0 || index >= count) {
    throw EnvironmentError("cuda:" + std::to_string(index) + ": there is no such GPU; this machine has " +
                           (count == 1 ? "cuda:0" : "cuda:0 to cuda:" + std::to_string(count - 1)));
  }
}

std::unique_ptr<System> make_cuda_system(int index) {
  check_cuda_device(index);
  return std::make_unique<CudaSystem>(index);
}

}  // namespace tatr
