// Chooses Thrust's system: OpenMP on the CPU, CUDA on a GPU. Included by .cu files only, for no Thrust type may cross
// between objects of different compilers; without nvcc those files are compiled as C++ and know only OpenMP.
#pragma once

#include <omp.h>
#include <thrust/execution_policy.h>
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system/omp/execution_policy.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "core/integer_math.hpp"
#include "core/platform.hpp"
#include "device/system.hpp"

#if defined(__CUDACC__)
#include <thrust/system/cuda/execution_policy.h>
#endif

namespace tatr {

/// Room made once for the scratch of Thrust's algorithms on a GPU, so that none is allocated while they are timed or
/// captured. Enough for a scan of the most tokens there can be.
class ThrustScratch {
 public:
  static constexpr std::size_t kBytes = 256 * 1024;
  explicit ThrustScratch(System& system, std::size_t bytes = kBytes) : room_(system, system.is_cuda() ? bytes : 0) {}
  char* take(std::size_t bytes) {
    const std::size_t first = used_;
    used_ += round_up<std::size_t>(bytes, 256);
    if (used_ > room_.size()) throw std::bad_alloc();
    return room_.data() + first;
  }
  void give_back(std::size_t bytes) { used_ -= round_up<std::size_t>(bytes, 256); }

 private:
  Buffer<char> room_;
  std::size_t used_ = 0;
};

/// Gives Thrust its scratch: from room made before, or else from the system, so that it is counted and comes from the
/// stream's pool.
struct ScratchAllocator {
  using value_type = char;
  System* system;
  ThrustScratch* room;
  char* allocate(std::ptrdiff_t bytes) {
    const auto size = static_cast<std::size_t>(bytes);
    return room != nullptr ? room->take(size) : static_cast<char*>(system->allocate(size));
  }
  void deallocate(char* pointer, std::size_t bytes) {
    room != nullptr ? room->give_back(bytes) : system->deallocate(pointer, bytes);
  }
};

/// Calls body(policy) with the policy of the system.
template <class Body>
auto with_policy(System& system, Body&& body, [[maybe_unused]] ThrustScratch* room = nullptr) {
#if defined(__CUDACC__)
  if (system.is_cuda()) {
    ScratchAllocator scratch{&system, room};
    return body(thrust::cuda::par_nosync(scratch).on(system.stream()));
  }
#endif
  omp_set_num_threads(system.threads());
  return body(thrust::omp::par);
}

/// Whether a policy runs one small piece a thread (a GPU) or wants long runs for its vector units (a CPU).
template <class Policy>
inline constexpr bool kRunsOnGpu = !std::is_same_v<Policy, thrust::system::omp::detail::par_t>;

/// Runs function(i) for i in [0, count).
template <class Policy, class Function>
void for_each_index(const Policy& policy, std::int64_t count, Function function) {
  thrust::for_each_n(policy, thrust::counting_iterator<std::int64_t>(0), count, function);
}

/// Adds to an integer that other threads add to as well; the sum does not depend on their order. Returns the value
/// before.
TATR_HD inline std::int32_t atomic_add(std::int32_t* address, std::int32_t value) {
#if defined(__CUDA_ARCH__)
  return atomicAdd(address, value);
#else
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
#endif
}

}  // namespace tatr
