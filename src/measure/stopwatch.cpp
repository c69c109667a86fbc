#include "measure/stopwatch.hpp"

#include <chrono>
#include <vector>

#include "device/cache_flush.hpp"

#if defined(TATR_HAS_CUDA)
#include <cuda_runtime_api.h>

#include "core/error.hpp"
#include "device/cuda_handles.hpp"
#endif

namespace tatr {

namespace {

class CpuStopwatch final : public Stopwatch {
 public:
  explicit CpuStopwatch(System& system) : flush_(system) {}
  void flush_caches() override { flush_.run(); }
  void start() override { marks_.clear(); }
  void mark() override { marks_.push_back(std::chrono::steady_clock::now()); }
  std::vector<double> elapsed_ms() override {
    std::vector<double> elapsed;
    for (std::size_t i = 1; i < marks_.size(); ++i) {
      elapsed.push_back(std::chrono::duration<double, std::milli>(marks_[i] - marks_[i - 1]).count());
    }
    return elapsed;
  }

 private:
  CacheFlush flush_;
  std::vector<std::chrono::steady_clock::time_point> marks_;
};

#if defined(TATR_HAS_CUDA)
class CudaStopwatch final : public Stopwatch {
 public:
  explicit CudaStopwatch(System& system) : system_(system), flush_(system) {}
  void flush_caches() override { flush_.run(); }
  void start() override { used_ = 0; }
  void mark() override {
    if (used_ == events_.size()) events_.push_back(make_cuda_event());
    TATR_CUDA_CHECK(cudaEventRecord(events_[used_++].get(), system_.stream()));
  }
  std::vector<double> elapsed_ms() override {
    try {
      system_.synchronize();
    } catch (const DeviceTimeoutError& error) {
      throw DeviceTimeoutError(error.what(), marks_reached());
    }
    std::vector<double> elapsed;
    for (std::size_t i = 1; i < used_; ++i) {
      float milliseconds = 0.0f;
      TATR_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, events_[i - 1].get(), events_[i].get()));
      elapsed.push_back(static_cast<double>(milliseconds));
    }
    return elapsed;
  }

 private:
  int marks_reached() const {
    int reached = 0;
    while (reached < static_cast<int>(used_) &&
           cudaEventQuery(events_[static_cast<std::size_t>(reached)].get()) == cudaSuccess)
      ++reached;
    cudaGetLastError();  // of the query that found work under way
    return reached;
  }

  System& system_;
  CacheFlush flush_;
  std::vector<CudaEvent> events_;
  std::size_t used_ = 0;
};
#endif

}  // namespace

std::unique_ptr<Stopwatch> make_stopwatch(System& system) {
#if defined(TATR_HAS_CUDA)
  if (system.is_cuda()) return std::make_unique<CudaStopwatch>(system);
#endif
  return std::make_unique<CpuStopwatch>(system);
}

}  // namespace tatr
