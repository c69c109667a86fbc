// A small trained source, for tests.
#pragma once

#include "router_shape.hpp"

namespace tatr {

inline RouterConfig trained_router(std::int64_t tokens, std::int64_t experts, std::int64_t top_k) {
  RouterConfig config = router_shape(tokens, experts, top_k);
  config.source.kind = SourceKind::kTrained;
  config.source.topics = 12;
  config.source.exponent = 0.5;
  config.source.training.hidden = 8;
  config.source.training.tile = 16;
  config.source.training.balance_weight = 0.05;
  config.source.training.rounding_weight = 0.5;
  return config;
}

}  // namespace tatr
