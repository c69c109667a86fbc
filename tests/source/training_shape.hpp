// A small trained source, for tests.
#pragma once

#include "router_shape.hpp"

namespace tatr {

inline RouterConfig trained_router(std::int64_t tokens, std::int64_t experts, std::int64_t top_k) {
  RouterConfig config = router_shape(tokens, experts, top_k);
  TrainedSource trained;
  trained.topics = 12;
  trained.exponent = 0.5;
  trained.hidden = 8;
  trained.tile = 16;
  trained.balance_weight = 0.05;
  trained.rounding_weight = 0.5;
  config.source.options = trained;
  return config;
}

}  // namespace tatr
