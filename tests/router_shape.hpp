// The shape of a router, for tests.
#pragma once

#include <cstdint>

#include "options/options.hpp"

namespace tatr {

inline RouterConfig router_shape(std::int64_t tokens, std::int64_t experts, std::int64_t top_k) {
  RouterConfig config;
  config.tokens = tokens;
  config.experts = experts;
  config.top_k = top_k;
  return config;
}

}  // namespace tatr
