// The words that configs and reports use for the kinds in options/options.hpp, in the order of the enums.
#pragma once

#include <array>
#include <string_view>

#include "options/options.hpp"

namespace tatr {

inline constexpr std::array<std::string_view, 7> kSourceNames = {"gaussian", "zipf",    "lognormal", "topics",
                                                                 "hot",      "trained", "trace"};
inline constexpr std::array<std::string_view, 11> kStrategyNames = {
    "none", "down", "up", "nearest", "adaptive", "stochastic", "score", "balance", "capacity", "dynamic", "budget"};

constexpr std::string_view source_name(SourceKind kind) { return kSourceNames[static_cast<std::size_t>(kind)]; }
constexpr std::string_view strategy_name(StrategyKind kind) { return kStrategyNames[static_cast<std::size_t>(kind)]; }

}  // namespace tatr
