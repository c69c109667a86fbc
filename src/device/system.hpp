// Where the work runs: the CPU with some threads, or one GPU. A System owns the memory that its data live in and the
// stream that orders its work; it knows nothing of routing. No CUDA or Thrust type appears here, so any file may
// include it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/device_info.hpp"

struct CUstream_st;

namespace tatr {

/// Work that a system can be given again and again at little cost.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

class System {
 public:
  virtual ~System() = default;
  System() = default;
  System(const System&) = delete;
  System& operator=(const System&) = delete;

  virtual bool is_cuda() const = 0;
  virtual std::string name() const = 0;  // "cpu" or "cuda:0"
  virtual const DeviceInfo& device() const = 0;
  virtual CUstream_st* stream() const { return nullptr; }
  virtual int index() const { return 0; }    // of the GPU
  virtual int threads() const { return 1; }  // of the CPU; a GPU is driven by one

  /// Bytes aligned to 256, or OutOfMemoryError. Contents are not set.
  void* allocate(std::size_t bytes);
  void deallocate(void* pointer, std::size_t bytes) noexcept;

  /// Bytes that could still be allocated: on a GPU of its memory, on the CPU of the host's (core/memory.hpp).
  virtual std::size_t available_bytes() const = 0;

  /// Copies wait for all work given to the system before, and are complete on return. Of no bytes, pointers are not
  /// looked at: they may be null.
  void copy_to_host(void* host, const void* data, std::size_t bytes) {
    if (bytes > 0) copy_bytes_to_host(host, data, bytes);
  }
  void copy_from_host(void* data, const void* host, std::size_t bytes) {
    if (bytes > 0) copy_bytes_from_host(data, host, bytes);
  }
  /// From one place in the system's memory to another, in the order of its work.
  void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) copy_bytes(to, from, bytes);
  }
  /// Waits until all work is done. On a GPU, throws DeviceTimeoutError and the interrupt's Error as core/interrupt.hpp
  /// says.
  virtual void synchronize() = 0;

  /// What `work` gives to the system, for replay: a graph on a GPU, where `work` runs once here, without effect on
  /// data, and may neither wait nor copy to or from the host; the function itself on a CPU.
  virtual std::unique_ptr<Recording> record(std::function<void()> work) = 0;

  std::size_t bytes_in_use() const { return bytes_in_use_; }
  std::size_t peak_bytes() const { return peak_bytes_; }
  void reset_peak() { peak_bytes_ = bytes_in_use_; }

 protected:  // of at least one byte
  virtual void* allocate_bytes(std::size_t bytes) = 0;
  virtual void deallocate_bytes(void* pointer, std::size_t bytes) noexcept = 0;
  virtual void copy_bytes_to_host(void* host, const void* data, std::size_t bytes) = 0;
  virtual void copy_bytes_from_host(void* data, const void* host, std::size_t bytes) = 0;
  virtual void copy_bytes(void* to, const void* from, std::size_t bytes) = 0;

 private:
  std::size_t bytes_in_use_ = 0;
  std::size_t peak_bytes_ = 0;
};

/// The CPU. `threads` 0: as many as the machine gives (core/threads.hpp).
std::unique_ptr<System> make_cpu_system(int threads = 0);

/// GPU `index`. Throws EnvironmentError if this build has no CUDA, or there is no such GPU, or its driver is too old.
std::unique_ptr<System> make_cuda_system(int index = 0);

/// Throws that EnvironmentError.
void check_cuda_device(int index);

/// Number of usable GPUs; 0 in a build without CUDA and where there is no driver.
int cuda_device_count() noexcept;

/// An array of trivially copyable values in a system's memory. Move-only; the system must outlive it.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(System& system, std::size_t size)
      : system_(&system), data_(static_cast<T*>(system.allocate(size * sizeof(T)))), size_(size) {}
  Buffer(System& system, const std::vector<T>& host) : Buffer(system, host.size()) {
    system.copy_from_host(data_, host.data(), size_ * sizeof(T));
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() {
    if (system_ != nullptr) system_->deallocate(data_, size_ * sizeof(T));
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }

  std::vector<T> to_host() const { return to_host(0, size_); }
  std::vector<T> to_host(std::size_t first, std::size_t count) const {
    std::vector<T> host(count);
    if (count > 0) system_->copy_to_host(host.data(), data_ + first, count * sizeof(T));
    return host;
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(system_, other.system_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  System* system_ = nullptr;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tatr
