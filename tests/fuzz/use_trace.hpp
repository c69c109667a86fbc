// What a run does with a trace that the reader let through: routes it, rounds it with every strategy and fill, and
// computes its metrics; and what must hold of all that, whatever the values were.
#pragma once

#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "any_options.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"
#include "source/trace.hpp"

namespace tatr {

inline StrategyConfig strategy_of(StrategyKind kind, Fill fill, bool among_tiles) {
  StrategyConfig strategy;
  strategy.kind = kind;
  strategy.fill = fill;
  test::AnyOptions options;
  options.dynamic = {StrategyKind::kNearest, {{16, 8}, {std::nullopt, 16}}};
  if (among_tiles) options.budget.candidates = BudgetCandidates::kTiles;
  strategy.options = options.of(kind);
  strategy.renormalise = fill == Fill::kPad;
  return strategy;
}

/// The first promise that a routing breaks, or empty.
inline std::string broken_promise(const Routing& routing) {
  const auto counts = routing.counts.to_host();
  const auto chosen = routing.chosen.to_host();
  const std::int64_t assignments = std::int64_t{routing.tokens} * routing.top_k;
  if (std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) != assignments) return "counts of experts";
  for (std::size_t first = 0; first < chosen.size(); first += static_cast<std::size_t>(routing.top_k)) {
    std::vector<bool> taken(static_cast<std::size_t>(routing.experts));
    for (std::size_t i = first; i < first + static_cast<std::size_t>(routing.top_k); ++i) {
      if (chosen[i] < 0 || chosen[i] >= routing.experts || taken[static_cast<std::size_t>(chosen[i])]) return "choices";
      taken[static_cast<std::size_t>(chosen[i])] = true;
    }
  }
  for (const auto* values : {&routing.gates, &routing.scores}) {
    for (const float value : values->to_host()) {
      if (float_bits(value) > float_bits(1.0f)) return "gates and scores within 0 and 1, without a sign";
    }
  }
  return {};
}

inline std::string broken_promise(const Rounded& rounded, const Routing& routing) {
  const RoundingMetrics& m = rounded.metrics;
  const std::int64_t assignments = std::int64_t{routing.tokens} * routing.top_k;
  if (m.rows != std::accumulate(m.counts_after.begin(), m.counts_after.end(), std::int64_t{0})) return "rows";
  if (m.rows != assignments - m.dropped + m.added + m.padded + m.duplicated) return "dropped and added rows";
  if (m.rows != rounded.dispatch.rows) return "rows of the dispatch";
  const bool known = m.known >= Known::kGates;
  if (known && !(m.dropped_gate_mass >= 0 && m.dropped_gate_mass <= routing.top_k)) return "dropped mass";
  const auto tokens = rounded.dispatch.token.to_host();
  const auto gates = rounded.dispatch.gate.to_host();
  std::int64_t pads = 0;
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    if (tokens[row] < -1 || tokens[row] >= routing.tokens) return "tokens of rows";
    if (!(gates[row] >= 0.0f)) return "gates of rows";
    pads += tokens[row] < 0;
  }
  return pads == m.padded ? "" : "padded rows";
}

/// Rounds with all strategies and fills at a small tile; the first broken promise, or empty.
inline std::string round_all_ways(const Routing& routing, System& system) {
  for (const auto& [kind, name, title, has_options, help] : kStrategies) {
    for (const Fill fill : {Fill::kNextBest, Fill::kDuplicate, Fill::kPad}) {
      for (const bool among_tiles : {false, true}) {
        if (among_tiles && kind != StrategyKind::kBudget) continue;
        const StrategyConfig strategy = strategy_of(kind, fill, among_tiles);
        try {
          check_strategy(strategy, routing.known);
        } catch (const ConfigError&) {
          continue;
        }
        const Rounded rounded = round_routing(routing, {strategy, 8, 1, 0}, system);
        const std::string broken = broken_promise(rounded, routing);
        if (!broken.empty()) return broken + " of strategy " + std::to_string(static_cast<int>(kind));
      }
    }
  }
  return {};
}

/// Routes as the config says, and rounds. The layer's shape must be one that a run takes.
inline std::string use_routed(const TraceLayer& layer, RouterConfig router, System& system) {
  router.tokens = layer.tokens;
  router.experts = layer.experts;
  if (layer.top_k != 0) router.top_k = layer.top_k;
  const Routing routing = layer.top_k == 0 ? route(system, Buffer<float>(system, layer.logits), router)
                                           : routing_from_top_k(system, Buffer<std::int32_t>(system, layer.chosen),
                                                                Buffer<float>(system, layer.scores), router);
  const std::string broken = broken_promise(routing);
  return broken.empty() ? round_all_ways(routing, system) : broken;
}

/// Every way to route a layer: softmax and sigmoid, gates normalised or not, logits of bf16, a selection bias. The
/// first broken promise, or empty.
inline std::string use_layer(const TraceLayer& layer, System& system) {
  for (const bool plain : {true, false}) {
    RouterConfig router;
    router.top_k = std::min<std::int64_t>(2, layer.experts);
    router.scoring = plain ? Scoring::kSoftmax : Scoring::kSigmoid;
    router.normalise_gates = plain;
    router.logits = plain ? LogitType::kFp32 : LogitType::kBf16;
    if (!plain) router.selection_bias = {-0.0};
    const std::string broken = use_routed(layer, router, system);
    if (!broken.empty()) return broken;
  }
  return {};
}

}  // namespace tatr
