// GPU tests: skipped, and said to be, where there is no GPU.
#define CATCH_CONFIG_RUNNER
#include <cstdio>

#include "catch.hpp"
#include "device/system.hpp"
#include "gpu_lock.hpp"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;  // ctest's SKIP_RETURN_CODE
  if (tatr::cuda_device_count() == 0) {
    std::puts("skipped: no usable GPU");
    return kSkipped;
  }
  const tatr::test::GpuLock lock(0);
  return Catch::Session().run(argc, argv);
}
