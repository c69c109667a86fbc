// What a router takes, wherever it comes from: logits, or what a router chose before.
#pragma once

#include <cstdint>
#include <variant>

#include "router/routing.hpp"

namespace tatr {

struct LogitInput {
  Buffer<float> logits;  // [T, E], finite
};

struct TopKInput {
  Buffer<std::int32_t> chosen;  // [T, K], distinct in a row
  Buffer<float> scores;         // [T, K]
};

/// In the system's memory; of config.tokens tokens.
using RoutingInput = std::variant<LogitInput, TopKInput>;

/// Takes the input over.
inline Routing route_input(System& system, RoutingInput input, const RouterConfig& config) {
  if (auto* logits = std::get_if<LogitInput>(&input)) return route(system, std::move(logits->logits), config);
  TopKInput& top_k = std::get<TopKInput>(input);
  return routing_from_top_k(system, std::move(top_k.chosen), std::move(top_k.scores), config);
}

}  // namespace tatr
