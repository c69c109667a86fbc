// Results of earlier versions of the program, read as if this one had written them. What they do not know becomes null.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace tatr {

/// Schema versions that can be read: 1.0, 2.0, and this program's.
bool reads_version(std::string_view version);

/// "2" of "2.1". Versions that share it mean the same by every name that both have.
std::string_view major_version(std::string_view version);

/// Also of this program's version, as metrics may be newer. Leaves what is no result of these versions as it is.
void upgrade_result(nlohmann::json& document);

}  // namespace tatr
