// What a report says of the program and the machine it ran on.
#pragma once

#include "device/system.hpp"
#include "records/records.hpp"

namespace tatr {

/// Machine, device and date.
Environment describe_environment(const System& system);

/// A record of this program on that machine, without experiments yet.
RunRecord start_record(const Environment& environment);

}  // namespace tatr
