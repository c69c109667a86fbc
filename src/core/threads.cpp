#include "core/threads.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
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

/// Ticks since the machine started.
struct CoreTimes {
  double idle = 0.0, all = 0.0;
};

/// Of the lines "cpu0 USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL …" (proc(5)).
std::map<int, CoreTimes> core_times(const std::string& text) {
  std::map<int, CoreTimes> cores;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    int core = 0, used = 0;
    if (std::sscanf(line.c_str(), "cpu%5d %n", &core, &used) != 1 || used == 0) continue;
    std::istringstream numbers(line.substr(static_cast<std::size_t>(used)));
    CoreTimes times;
    double ticks = 0.0;
    for (int place = 0; place < 8 && numbers >> ticks; ++place) {
      times.all += ticks;
      if (place == 3 || place == 4) times.idle += ticks;
    }
    cores[core] = times;
  }
  return cores;
}

std::string text_of(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Cores that others leave idle, of those that this process may use; `otherwise` where the kernel does not tell.
int idle_now(int otherwise) {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return otherwise;
  const std::string before = text_of("/proc/stat");
  std::this_thread::sleep_for(std::chrono::milliseconds(60));  // six ticks of a core
  const double idle = idle_cores(before, text_of("/proc/stat"),
                                 [&](int core) { return core < CPU_SETSIZE && CPU_ISSET(core, &cores); });
  return idle < 0.0 ? otherwise : static_cast<int>(std::lround(idle));
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
  const int most = std::min(cores, cores_of_groups("/proc", "/sys/fs/cgroup", cores));
  if (most == 1) return 1;
  static const int idle = idle_now(most);
  return std::clamp(idle, 1, most);
}

double idle_cores(const std::string& before, const std::string& after, const std::function<bool(int)>& allowed) {
  const std::map<int, CoreTimes> earlier = core_times(before);
  double idle = 0.0;
  bool any = false;
  for (const auto& [core, times] : core_times(after)) {
    const auto then = earlier.find(core);
    if (then == earlier.end() || !allowed(core)) continue;
    const double all = times.all - then->second.all;
    if (!(all > 0.0)) continue;
    idle += (times.idle - then->second.idle) / all;
    any = true;
  }
  return any ? idle : -1.0;
}

void let_idle_threads_sleep(char** argv) noexcept {
  constexpr const char* kOpenBlas = "OPENBLAS_THREAD_TIMEOUT";
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  const bool openmp = !is_set("OMP_WAIT_POLICY") && !is_set("GOMP_SPINCOUNT") && !is_set("KMP_BLOCKTIME");
  if (!openmp && is_set(kOpenBlas)) return;
  // A spin of some microseconds, then asleep: threads that sleep at once are late for the next step.
  if (openmp && (setenv("OMP_WAIT_POLICY", "passive", 0) != 0 || setenv("GOMP_SPINCOUNT", "1000", 0) != 0)) return;
  if (setenv(kOpenBlas, "10", 0) != 0) return;  // 2^10 cycles, then asleep; else 2^26
  execv("/proc/self/exe", argv);
}

}  // namespace tatr
