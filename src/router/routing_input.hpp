// What a router takes, wherever it comes from: logits, what a router chose before, or only how often.
#pragma once

#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "router/routing.hpp"

namespace tatr {

struct LogitInput {
  Buffer<float> logits;  // [T, E], finite
};

struct TopKInput {
  Buffer<std::int32_t> chosen;  // [T, K], distinct in a row
  Buffer<float> scores;         // [T, K]; empty: not known
};

/// Tokens of each expert, in the host's memory: there is nothing to route.
struct CountInput {
  std::vector<std::int32_t> counts;  // [E], each from 0 to kMaxCount
};

/// The first two in the system's memory.
using RoutingInput = std::variant<LogitInput, TopKInput, CountInput>;

/// Takes the input, which is not one of counts, over; of config.tokens tokens.
inline Routing route_input(System& system, RoutingInput input, const RouterConfig& config) {
  if (auto* logits = std::get_if<LogitInput>(&input)) return route(system, std::move(logits->logits), config);
  TopKInput& top_k = std::get<TopKInput>(input);
  return routing_from_top_k(system, std::move(top_k.chosen), std::move(top_k.scores), config);
}

}  // namespace tatr
