// How many CPU threads to use, and how they wait for each other. Knows nothing of what they do; results do not depend
// on either.
#pragma once

#include <functional>
#include <string>

namespace tatr {

/// What the user says in OMP_NUM_THREADS; else the cores that this process may run on (taskset, cpusets), but no more
/// than the CPU time that its control groups give: a thread beyond that stalls the others when the group is throttled;
/// and no more than are idle, at least 1: threads that share a core with others wait for each other at every step.
/// Looks once, for 60 ms.
int usable_threads();

/// Idle cores' worth of CPU time between two texts of /proc/stat, of the cores that `allowed` says; negative where they
/// do not tell.
double idle_cores(const std::string& before, const std::string& after, const std::function<bool(int)>& allowed);

/// The CPU time that the control groups give, in whole cores, at least 1; `otherwise` where they set no limit. `proc`
/// and `cgroup` stand for /proc and /sys/fs/cgroup.
int cores_of_groups(const std::string& proc, const std::string& cgroup, int otherwise);

/// Makes idle threads sleep soon, not spin: those that spin take the cores that others compute on, and where the
/// machine is shared everybody waits for them. OpenMP and OpenBLAS ask the environment only while they are loaded, so
/// the program starts itself anew, once, as the same process. What the user has set stays. Before any thread or output;
/// returns where there is nothing to do, or it cannot be done.
void let_idle_threads_sleep(char** argv) noexcept;

}  // namespace tatr
