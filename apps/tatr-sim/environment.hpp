// What a report says of the program and the machine it ran on.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "report/records.hpp"

namespace tatr {

/// "tatr-sim 0.1.0 (commit), back ends: …".
std::string version_text();

/// Back ends of the grouped GEMM that this build has.
std::vector<std::string> built_back_ends();

/// "cpu", or the GPU's name.
std::string device_name(const System& system);

/// Machine, device and date.
Environment describe_environment(const System& system);

/// Whether a stream is a terminal whose user has not asked for plain text (NO_COLOR).
bool takes_colour(std::FILE* stream);

/// A record of this program on that machine, without experiments yet.
RunRecord start_record(const Environment& environment);

}  // namespace tatr
