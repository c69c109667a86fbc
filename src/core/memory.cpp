#include "core/memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace tatr {

namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

/// The number that a file begins with; nothing where there is no file, or "max".
std::optional<std::size_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::size_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

/// The number behind a key such as "MemAvailable:" or "inactive_file"; nothing where it is not there.
std::optional<std::size_t> number_of(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    std::size_t number = 0;
    if (word == key && file >> number) return number;
  }
  return std::nullopt;
}

/// What one control group leaves: its limit less what it holds, but for file pages that it would give back.
std::size_t left_in_group(const std::string& folder, const char* limit_name, const char* used_name,
                          const char* reclaimable) {
  const auto limit = number_in(folder + "/" + limit_name), used = number_in(folder + "/" + used_name);
  if (!limit || !used) return kUnlimited;
  const std::size_t held = *used - std::min(*used, number_of(folder + "/memory.stat", reclaimable).value_or(0));
  return *limit - std::min(*limit, held);
}

/// The least that the group `path` and those above it leave, below `root`.
std::size_t left_in_groups(const std::string& root, std::string path, bool version_2) {
  std::size_t left = kUnlimited;
  while (true) {
    left = std::min(left, version_2 ? left_in_group(root + path, "memory.max", "memory.current", "inactive_file")
                                    : left_in_group(root + path, "memory.limit_in_bytes", "memory.usage_in_bytes",
                                                    "total_inactive_file"));
    if (path.empty() || path == "/") return left;
    path.erase(path.rfind('/'));
  }
}

/// Lines of /proc/self/cgroup are ID:CONTROLLERS:PATH; version 2 has ID 0 and no controllers. In a container the path
/// may be one that it does not see, while its own group is the root.
std::size_t left_in_own_groups(const std::string& proc, const std::string& cgroup) {
  std::size_t left = kUnlimited;
  std::ifstream file(proc + "/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",",
                      path = line.substr(second + 1);
    if (controllers == ",,") left = std::min(left, left_in_groups(cgroup, path, true));
    if (controllers.find(",memory,") != std::string::npos)
      left = std::min(left, left_in_groups(cgroup + "/memory", path, false));
  }
  return left;
}

std::size_t left_in_address_space(const std::string& proc) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const std::size_t used = number_of(proc + "/self/status", "VmSize:").value_or(0) * 1024;
  return limit.rlim_cur - std::min<std::size_t>(limit.rlim_cur, used);
}

}  // namespace

std::size_t available_host_bytes(const std::string& proc, const std::string& cgroup) {
  const auto free_kib = number_of(proc + "/meminfo", "MemAvailable:");
  const std::size_t free = free_kib ? *free_kib * 1024 : kUnlimited;
  return std::min({free, left_in_own_groups(proc, cgroup), left_in_address_space(proc)});
}

std::size_t available_host_bytes() { return available_host_bytes("/proc", "/sys/fs/cgroup"); }

}  // namespace tatr
