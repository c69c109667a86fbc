// How much memory the machine can still give this process. Knows nothing of who wants it.
#pragma once

#include <cstddef>
#include <string>

namespace tatr {

/// Bytes of host memory that can be had without the kernel killing anybody: the least of what is free or can be freed
/// on the machine (MemAvailable), what is left to this process' control groups (version 1 or 2, and those above them),
/// and what its address space may still grow by (ulimit -v). The most a size can hold where the system does not say.
std::size_t available_host_bytes();

/// The same from other files than the system's, for tests: `proc` and `cgroup` stand for /proc and /sys/fs/cgroup.
std::size_t available_host_bytes(const std::string& proc, const std::string& cgroup);

}  // namespace tatr
