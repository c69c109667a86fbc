// A System on borrowed ground: it computes in memory, and on a GPU in a stream, that somebody else owns. For programs
// that the rounding is a part of; the program of its own uses those of device/system.hpp.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "device/system.hpp"

namespace tatr {

/// Allocates from what it is lent, from the start on, and frees nothing: what it made must go before the next lend().
/// Never waits but to copy to or from the host. Of the process it changes nothing: no memory pool, no handlers.
class BorrowedSystem : public System {
 public:
  /// `bytes` of memory for all allocations to come. Throws UsageError where it is not aligned to 256.
  void lend(void* memory, std::size_t bytes);
  /// Where work goes from now on. Of no meaning on a CPU.
  virtual void use_stream(CUstream_st* stream) = 0;

 protected:
  void* allocate_bytes(std::size_t bytes) override;
  void deallocate_bytes(void*, std::size_t) noexcept override {}

 private:
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0, used_ = 0;
};

/// The CPU, with so many threads.
std::unique_ptr<BorrowedSystem> borrow_cpu(int threads);

/// GPU `index`. Throws EnvironmentError as make_cuda_system does.
std::unique_ptr<BorrowedSystem> borrow_cuda(int index);

/// How much to lend a system for what `make` allocates. It is called with a system that is like `system` and hands out
/// an address of nothing: it may allocate and copy, and must not compute.
std::size_t workspace_bytes(const System& system, const std::function<void(System&)>& make);

/// The calling thread's GPU is the system's for as long as this lives, then what it was.
class CurrentDevice {
 public:
  explicit CurrentDevice(const System& system);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  /// Sets the current device; returns the one before, or -1 where it was the same.
  static int exchange(int device);

  int before_;
};

}  // namespace tatr
