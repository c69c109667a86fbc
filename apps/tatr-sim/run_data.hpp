// tatr-sim run FILE, where FILE is data: what it would be read as, what it wastes, and a config to go on with.
#pragma once

#include <string>
#include <vector>

#include "core/error.hpp"

namespace tatr {

/// `save_config`: where the config is written; empty: to standard output, with the rest.
ExitCode run_data(const std::string& path, const std::vector<std::string>& overrides, const std::string& save_config);

}  // namespace tatr
