#include "device/system.hpp"

#include <algorithm>
#include <cstdlib>

#include "core/error.hpp"
#include "core/integer_math.hpp"
#include "core/threads.hpp"
#include "device/host_memory.hpp"

namespace tatr {

void* System::allocate(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* pointer = allocate_bytes(bytes);
  bytes_in_use_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, bytes_in_use_);
  return pointer;
}

void System::deallocate(void* pointer, std::size_t bytes) noexcept {
  if (pointer == nullptr) return;
  deallocate_bytes(pointer, bytes);
  bytes_in_use_ -= bytes;
}

namespace {

class CpuSystem final : public OnHost<System> {
 public:
  explicit CpuSystem(int threads) : OnHost(threads > 0 ? threads : usable_threads()) {}

 protected:
  void* allocate_bytes(std::size_t bytes) override {
    constexpr std::size_t kAlignment = 256, kLarge = std::size_t{64} << 20;
    // What is not there is refused here: the kernel may promise it, and kill the program when it is used.
    const bool there = bytes < kLarge || bytes <= available_bytes();
    void* pointer = there ? std::aligned_alloc(kAlignment, round_up(bytes, kAlignment)) : nullptr;
    if (pointer == nullptr) throw OutOfMemoryError("cpu", bytes, available_bytes());
    return pointer;
  }
  void deallocate_bytes(void* pointer, std::size_t) noexcept override { std::free(pointer); }
};

}  // namespace

std::unique_ptr<System> make_cpu_system(int threads) { return std::make_unique<CpuSystem>(threads); }

#if !defined(TATR_HAS_CUDA)
void check_cuda_device(int index) {
  throw EnvironmentError("cuda:" + std::to_string(index) +
                         ": this build of tatr-sim has no CUDA back end; build with nvcc, or use --device cpu, or "
                         "--device model:h100 for modelled times");
}
std::unique_ptr<System> make_cuda_system(int index) {
  check_cuda_device(index);
  return nullptr;
}
int cuda_device_count() noexcept { return 0; }
#endif

}  // namespace tatr
