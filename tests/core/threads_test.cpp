#include "core/threads.hpp"

#include <sched.h>

#include <cstdlib>

#include "catch.hpp"
#include "core/system_files.hpp"

using namespace tatr;

namespace {

struct Files : test::SystemFiles {
  Files() : SystemFiles("threads") {}
  int cores() const { return cores_of_groups(proc(), cgroup(), 7); }
};

}  // namespace

TEST_CASE("the least CPU time of a control group of version 2 and those above it counts, in whole cores") {
  const Files files;
  CHECK(files.cores() == 7);  // no groups
  files.write("proc/self/cgroup", "0::/jobs/one\n");
  files.write("cgroup/jobs/one/cpu.max", "max 100000\n");
  CHECK(files.cores() == 7);
  files.write("cgroup/jobs/one/cpu.max", "350000 100000\n");
  CHECK(files.cores() == 3);
  files.write("cgroup/jobs/cpu.max", "20000 10000\n");
  CHECK(files.cores() == 2);
  files.write("cgroup/cpu.max", "5000 10000\n");  // half a core is one thread
  CHECK(files.cores() == 1);
}

TEST_CASE("a control group of version 1 that sets no quota sets no limit") {
  const Files files;
  files.write("proc/self/cgroup", "2:memory:/\n1:cpu,cpuacct:/jobs\n");
  files.write("cgroup/cpu/jobs/cpu.cfs_quota_us", "-1\n");
  files.write("cgroup/cpu/jobs/cpu.cfs_period_us", "100000\n");
  CHECK(files.cores() == 7);
  files.write("cgroup/cpu/jobs/cpu.cfs_quota_us", "400000\n");
  CHECK(files.cores() == 4);
}

TEST_CASE("idle cores are counted by the ticks of those that may be used") {
  const std::string before =
      "cpu  100 0 0 100 0 0 0 0\ncpu0 50 0 0 50 0 0 0 0 0 0\ncpu1 50 0 0 50 0 0 0 0 0 0\nintr 5\n";
  const std::string after =
      "cpu  107 0 0 105 0 0 0 0\ncpu0 56 0 0 50 0 0 0 0 0 0\ncpu1 51 0 0 53 2 0 0 0 0 0\nintr 9\n";
  const auto all = [](int) { return true; };
  CHECK(idle_cores(before, after, all) == Approx(5.0 / 6));  // none of core 0, five ticks of six of core 1
  CHECK(idle_cores(before, after, [](int core) { return core == 0; }) == 0);
  CHECK(idle_cores(before, after, [](int core) { return core == 7; }) < 0);
  CHECK(idle_cores(before, before, all) < 0);  // no time has gone by
  CHECK(idle_cores("", "nothing of the kind\n", all) < 0);
}

TEST_CASE("threads are as many as OMP_NUM_THREADS says, else as the cores that the process may use") {
  const char* const own = std::getenv("OMP_NUM_THREADS");
  const std::string before = own != nullptr ? own : "";
  setenv("OMP_NUM_THREADS", "3,2", 1);
  CHECK(usable_threads() == 3);
  unsetenv("OMP_NUM_THREADS");
  cpu_set_t all, one;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &all)) CPU_SET(core, &one);
  }
  CHECK(usable_threads() <= CPU_COUNT(&all));
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(usable_threads() == 1);
  sched_setaffinity(0, sizeof all, &all);
  if (!before.empty()) setenv("OMP_NUM_THREADS", before.c_str(), 1);
}
