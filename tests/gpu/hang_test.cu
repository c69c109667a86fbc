// A kernel that does not end until it is told to: the host's wait has its limit, names the stage, and lets go of the
// device; with the argument `signal`, so it does for SIGTERM. A program of its own, for an abandoned device is
// abandoned for good.
#include <cuda_runtime.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "device/cuda_check.hpp"
#include "device/system.hpp"
#include "gpu_lock.hpp"
#include "measure/sampler.hpp"
#include "measure/stopwatch.hpp"

namespace {

__global__ void wait_for(const volatile int* go) {
  while (*go == 0) {
  }
}

bool passed = true;

void expect(bool held, const char* what) {
  if (held) return;
  std::printf("failed: %s\n", what);
  passed = false;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tatr;
  using Clock = std::chrono::steady_clock;
  if (cuda_device_count() == 0) {
    std::puts("skipped: no usable GPU");
    return 77;  // ctest's SKIP_RETURN_CODE
  }
  const test::GpuLock lock(0);
  const bool by_signal = argc > 1 && std::strcmp(argv[1], "signal") == 0;
  watch_for_interrupts();
  set_device_timeout(by_signal ? 0.0 : 1.0);
  int* go = nullptr;
  TATR_CUDA_CHECK(cudaHostAlloc(&go, sizeof *go, cudaHostAllocMapped));
  *go = 0;
  {
    const auto gpu = make_cuda_system();
    const auto watch = make_stopwatch(*gpu);
    Buffer<int> data(*gpu, std::vector<int>{1, 2, 3});
    Candidate candidate{"none at tile 64", {{"gather", [] {}}}};
    candidate.stages.push_back({"up-projection", [&] {
                                  wait_for<<<1, 1, 0, gpu->stream()>>>(go);
                                  TATR_CHECK_LAUNCH(wait_for);
                                }});
    candidate.stages.push_back({"combine", [] {}});
    const Clock::time_point start = Clock::now();
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      if (by_signal) std::raise(SIGTERM);
    });
    std::string told;
    try {
      sample_interleaved({candidate}, {}, *watch);
    } catch (const Error& error) {
      told = error.what();
    }
    killer.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::printf("%s (after %.2f s)\n", told.c_str(), seconds);
    const char* const line =
        by_signal ? "interrupted"
                  : "none at tile 64, up-projection: cuda:0 did not finish within 1 s (--device-timeout)";
    expect(told == line, "the line");
    expect(seconds > 0.5 && seconds < 2.0, "the time until it gave up");
    expect(device_is_abandoned(), "that the device is abandoned");
  }  // buffers, events and the system go, and wait for nothing
  std::puts("left the system");
  *go = 1;
  std::fflush(stdout);
  leave(passed ? 0 : 1);
}
