#include "core/threads.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "core/control_groups.hpp"

namespace tatr {

namespace {

/// The cores' worth of CPU time of one group; 0: no limit.
double cores_of_group(const std::string& folder, bool is_version_2) {
  double quota = 0.0, period = 0.0;
  if (is_version_2) {
    std::ifstream file(folder + "/cpu.max");  // "200000 100000", or "max 100000"
    if (!(file >> quota >> period)) return 0.0;
  } else {
    std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
    if (!(quota_file >> quota) || !(period_file >> period)) return 0.0;
  }
  return quota > 0.0 && period > 0.0 ? quota / period : 0.0;  // -1: none
}

int cores_of_affinity() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(CPU_COUNT(&cores), 1);
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);  // more cores than a set holds
}

}  // namespace

int cores_of_groups(const std::string& proc, const std::string& cgroup, int otherwise) {
  double least = 0.0;
  for_each_own_group(proc, cgroup, "cpu", [&](const std::string& folder, bool is_version_2) {
    const double cores = cores_of_group(folder, is_version_2);
    if (cores > 0.0) least = least > 0.0 ? std::min(least, cores) : cores;
  });
  return least > 0.0 ? std::max(static_cast<int>(std::min(least, 4096.0)), 1) : otherwise;
}

int usable_threads() {
  const char* const asked = std::getenv("OMP_NUM_THREADS");  // "4", or "4,2" for nested regions
  const int number = asked != nullptr ? std::atoi(asked) : 0;
  if (number > 0) return std::min(number, 4096);
  const int cores = cores_of_affinity();
  return std::min(cores, cores_of_groups("/proc", "/sys/fs/cgroup", cores));
}

void let_idle_threads_sleep(char** argv) noexcept {
  constexpr const char* kOpenBlas = "OPENBLAS_THREAD_TIMEOUT";
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  const bool openmp = !is_set("OMP_WAIT_POLICY") && !is_set("GOMP_SPINCOUNT") && !is_set("KMP_BLOCKTIME");
  if (!openmp && is_set(kOpenBlas)) return;
  if (openmp && setenv("OMP_WAIT_POLICY", "passive", 0) != 0) return;
  if (setenv(kOpenBlas, "10", 0) != 0) return;  // 2^10 cycles, then asleep; else 2^26
  execv("/proc/self/exe", argv);
}

}  // namespace tatr
