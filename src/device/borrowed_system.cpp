#include "device/borrowed_system.hpp"

#include <cstdint>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "core/integer_math.hpp"
#include "device/host_memory.hpp"

namespace tatr {

namespace {

constexpr std::size_t kAlignment = 256;

class BorrowedCpu final : public OnHost<BorrowedSystem> {
 public:
  using OnHost::OnHost;
  void use_stream(CUstream_st*) override {}
};

/// Like another system, but for its memory, of which it only counts how much would be taken.
class PlannedSystem final : public System {
 public:
  explicit PlannedSystem(const System& like) : like_(like) {}
  std::size_t bytes() const { return bytes_; }

  bool is_cuda() const override { return like_.is_cuda(); }
  std::string name() const override { return like_.name(); }
  const DeviceInfo& device() const override { return like_.device(); }
  int index() const override { return like_.index(); }
  int threads() const override { return like_.threads(); }
  void synchronize() override {}
  std::size_t available_bytes() const override { return like_.available_bytes(); }
  std::unique_ptr<Recording> record(std::function<void()>) override { return nullptr; }

 protected:
  void* allocate_bytes(std::size_t bytes) override {
    static std::byte nothing;
    bytes_ += round_up(bytes, kAlignment);
    return &nothing;
  }
  void deallocate_bytes(void*, std::size_t) noexcept override {}
  void copy_bytes_to_host(void*, const void*, std::size_t) override {}
  void copy_bytes_from_host(void*, const void*, std::size_t) override {}
  void copy_bytes(void*, const void*, std::size_t) override {}

 private:
  const System& like_;
  std::size_t bytes_ = 0;
};

}  // namespace

void BorrowedSystem::lend(void* memory, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(memory) % kAlignment != 0) {
    throw UsageError("the workspace is not aligned to " + std::to_string(kAlignment) + " bytes");
  }
  memory_ = static_cast<std::byte*>(memory);
  bytes_ = bytes;
  used_ = 0;
}

void* BorrowedSystem::allocate_bytes(std::size_t bytes) {
  const std::size_t end = used_ + round_up(bytes, kAlignment);
  if (end > bytes_) {
    throw UsageError("the workspace of " + std::to_string(bytes_) + " bytes is too small; " + std::to_string(end) +
                     " are wanted up to here");
  }
  return memory_ + std::exchange(used_, end);
}

std::unique_ptr<BorrowedSystem> borrow_cpu(int threads) { return std::make_unique<BorrowedCpu>(threads); }

std::size_t workspace_bytes(const System& system, const std::function<void(System&)>& make) {
  PlannedSystem planned(system);
  make(planned);
  return planned.bytes();
}

CurrentDevice::CurrentDevice(const System& system) : before_(system.is_cuda() ? exchange(system.index()) : -1) {}

CurrentDevice::~CurrentDevice() {
  if (before_ >= 0) exchange(before_);
}

#if !defined(TATR_HAS_CUDA)
std::unique_ptr<BorrowedSystem> borrow_cuda(int index) {
  check_cuda_device(index);
  return nullptr;
}
int CurrentDevice::exchange(int) { return -1; }
#endif

}  // namespace tatr
