// The "sweep" block of a config: many experiments made of one. Decides which values each gets, in which order, and what
// it is called; whether they are allowed is for parse_experiment to say.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tatr {

inline constexpr std::size_t kMaxSweep = 10000;

struct SweepItem {
  nlohmann::json document;  // without "sweep"
  std::string values;       // "router/tokens=64, tile=128": for names and errors; empty where nothing is swept
};

/// All experiments of the document, in order: patches as listed, or every combination, the last pointer by name varying
/// fastest. One without a sweep. Names get the values in parentheses, or where that is too long the item's number,
/// unless the sweep sets /name. `overrides` may not set what is swept. Throws ConfigError.
std::vector<SweepItem> expand_sweep(const nlohmann::json& document, const std::string& file,
                                    const std::vector<std::string>& overrides = {});

}  // namespace tatr
