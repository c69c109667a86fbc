#include "core/memory.hpp"

#include "catch.hpp"
#include "core/system_files.hpp"

using namespace tatr;

namespace {

struct System : test::SystemFiles {
  System() : SystemFiles("memory") {}
  std::size_t available() const { return available_host_bytes(proc(), cgroup()); }
};

constexpr std::size_t kMiB = 1 << 20;

}  // namespace

TEST_CASE("without control groups the machine's available memory counts") {
  const System system;
  system.write("proc/meminfo", "MemTotal: 8192 kB\nMemFree: 1024 kB\nMemAvailable: 4096 kB\n");
  CHECK(system.available() == 4 * kMiB);
}

TEST_CASE("a control group of version 2 and those above it bound what is available, but not file pages they hold") {
  const System system;
  system.write("proc/meminfo", "MemAvailable: 1048576 kB\n");
  system.write("proc/self/cgroup", "0::/jobs/one\n");
  system.write("cgroup/jobs/one/memory.max", "max\n");
  system.write("cgroup/jobs/one/memory.current", "1048576\n");
  CHECK(system.available() == 1024 * kMiB);
  system.write("cgroup/jobs/memory.max", std::to_string(100 * kMiB));
  system.write("cgroup/jobs/memory.current", std::to_string(60 * kMiB));
  CHECK(system.available() == 40 * kMiB);
  system.write("cgroup/jobs/memory.stat", "anon 5\ninactive_file " + std::to_string(20 * kMiB) + "\n");
  CHECK(system.available() == 60 * kMiB);
  system.write("cgroup/jobs/memory.max", std::to_string(10 * kMiB));
  CHECK(system.available() == 0);
}

TEST_CASE("so does one of version 1, also where its path is that of the host and the container sees only the root") {
  const System system;
  system.write("proc/meminfo", "MemAvailable: 1048576 kB\n");
  system.write("proc/self/cgroup", "3:cpu,cpuacct:/docker/x\n2:memory:/docker/x\n0::/docker/x\n");
  system.write("cgroup/memory/memory.limit_in_bytes", std::to_string(64 * kMiB));
  system.write("cgroup/memory/memory.usage_in_bytes", std::to_string(16 * kMiB));
  CHECK(system.available() == 48 * kMiB);
}

TEST_CASE("this machine says something") {
  CHECK(available_host_bytes() > kMiB);
  CHECK(available_host_bytes() < std::size_t{1} << 50);
}
