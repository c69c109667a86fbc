// What this program is: its version and the commit that it was built from.
#pragma once

namespace tatr {

const char* program_version();  // "0.1.0"
const char* program_commit();   // of git, or "unknown"
const char* program_date();     // of that commit, "2026-01-31"; of the build where it is unknown

}  // namespace tatr
