// What a rounder of libtatr is made from: JSON options, read with the rules and the errors of configs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "options/options.hpp"

namespace tatr {

struct RounderOptions {
  RouterConfig router;
  StrategyConfig strategy;
  std::int64_t tile = 0;
  std::uint64_t seed = 0;
  std::int64_t layer = 0;
  bool bf16 = false;        // the logits that are given; else fp32
  std::optional<int> cuda;  // the GPU; else the CPU
  std::optional<int> cpu_threads;
};

/// Throws ConfigError with places in "options".
RounderOptions read_rounder_options(const std::string& text);

}  // namespace tatr
