#include "core/memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "core/control_groups.hpp"

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

std::size_t left_in_own_groups(const std::string& proc, const std::string& cgroup) {
  std::size_t left = kUnlimited;
  for_each_own_group(proc, cgroup, "memory", [&](const std::string& folder, bool is_version_2) {
    left = std::min(left, is_version_2 ? left_in_group(folder, "memory.max", "memory.current", "inactive_file")
                                       : left_in_group(folder, "memory.limit_in_bytes", "memory.usage_in_bytes",
                                                       "total_inactive_file"));
  });
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
