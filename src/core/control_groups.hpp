// The control groups that this process is in, of Linux' versions 1 and 2. Knows nothing of what they limit.
#pragma once

#include <functional>
#include <string>

namespace tatr {

/// Calls visit(folder, is_version_2) for each folder that tells of `controller` ("memory", "cpu"): the process' own
/// group and all above it. `proc` and `cgroup` stand for /proc and /sys/fs/cgroup. A folder need not be there: in a
/// container the path may be one that it does not see, while its own group is the root.
void for_each_own_group(const std::string& proc, const std::string& cgroup, const std::string& controller,
                        const std::function<void(const std::string& folder, bool is_version_2)>& visit);

}  // namespace tatr
