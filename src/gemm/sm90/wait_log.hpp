// Where the warps of the project's own kernel wait, for a debugger's eyes: a build with TATR_WATCH_WAITS records every
// wait in the kernel that lasts longer than kLongWaitSeconds, and what its barrier held then. Other builds record
// nothing.
#pragma once

#include <string>

namespace tatr {

inline constexpr double kLongWaitSeconds = 5.0;

/// Once, on the current device, before the first launch.
void start_wait_log();

/// One line for each warp that waits, or waited, too long: block, warp, lanes, barrier, phase. Reads memory that the
/// host shares with the device, so it also works while a kernel hangs.
std::string long_waits();

}  // namespace tatr
