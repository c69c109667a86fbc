// What rounding did to tiles and to quality, and the catalogue of it: names, units and words that every result, table,
// schema and comparison takes from here. A new metric is a member and a row in this file, and its computation:
// expert_metrics.cpp where it follows from counts, metrics.cuh where it is a sum over tokens.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "router/known.hpp"

namespace tatr {

/// T tokens, K choices each; see docs/figures.md.
struct RoundingMetrics {
  Known known = Known::kScores;  // of the routing: metrics that need more (RoundingMetric::needs) have no value
  std::int64_t tile = 0;         // 0: each expert has its own (dynamic)
  std::int64_t rows = 0, tiles = 0;
  double tile_utilisation = 1.0, wasted_flops = 0.0, mean_expert_utilisation = 1.0;
  std::int64_t dropped = 0, added = 0, padded = 0, duplicated = 0;
  double dropped_share = 0, added_share = 0, padded_share = 0, duplicated_share = 0;
  std::int64_t tokens_without_expert = 0, starved_experts = 0, experts_per_token_max = 0;
  double dropped_gate_mass = 0, mean_square_dropped_mass = 0, mean_cube_dropped_mass = 0, mean_dropped_probability = 0;
  double rounding_loss = 0;
  std::vector<std::int32_t> counts_before, counts_after, tiles_per_expert;  // [E]
  std::vector<double> last_tile_utilisation;                                // [E]; negative: the expert has no tile
};

/// How the values of several layers become one.
enum class OverLayers { kSum, kMean, kMost };
enum class Better { kNeither, kLower, kHigher };

using CountMember = std::int64_t RoundingMetrics::*;
using RealMember = double RoundingMetrics::*;

struct RoundingMetric {
  std::string_view name, unit;  // unit "share …": a part of a whole, compared in points
  OverLayers over_layers;
  Better better;
  std::string_view heading;  // of its column in tables of all strategies; empty: not in them
  std::string_view help;
  CountMember count = nullptr;  // one of the two
  RealMember real = nullptr;
  CountMember of = nullptr;  // there is a value only where this is positive
  Known needs = Known::kCounts;

  constexpr bool is_count() const { return count != nullptr; }
  constexpr bool is_share() const { return unit.substr(0, 5) == "share"; }
  bool is_known(const RoundingMetrics& metrics) const { return needs <= metrics.known; }
  bool has_value(const RoundingMetrics& metrics) const {
    return is_known(metrics) && (of == nullptr || metrics.*of > 0);
  }
  double in(const RoundingMetrics& metrics) const {
    return is_count() ? static_cast<double>(metrics.*count) : metrics.*real;
  }
};

namespace metric_rows {

/// What the columns of RoundingMetric that every row has say.
struct Words {
  std::string_view name, unit;
  Better better;
  std::string_view heading, help;
};

constexpr RoundingMetric count(const Words& words, CountMember member, OverLayers over = OverLayers::kSum) {
  return {words.name, words.unit, over, words.better, words.heading, words.help, member};
}

constexpr RoundingMetric mean(const Words& words, RealMember member, CountMember of = nullptr) {
  return {words.name, words.unit, OverLayers::kMean, words.better, words.heading, words.help, nullptr, member, of};
}

/// Of what follows from which tokens are dropped: their gates decide it.
constexpr RoundingMetric of_gates(RoundingMetric metric) {
  metric.needs = Known::kGates;
  return metric;
}

}  // namespace metric_rows

inline constexpr RoundingMetric kRoundingMetrics[] = {
    metric_rows::count({"rows", "rows", Better::kNeither, "Rows", "rows of all experts"}, &RoundingMetrics::rows),
    metric_rows::count(
        {"tiles", "tiles", Better::kLower, "Tiles", "tiles that hold them, the last of each expert filled up"},
        &RoundingMetrics::tiles),
    metric_rows::count(
        {"dropped", "assignments", Better::kLower, "Dropped", "assignments of top-k that no row computes"},
        &RoundingMetrics::dropped),
    metric_rows::count(
        {"added", "assignments", Better::kNeither, "Added", "rows of tokens that did not choose the expert"},
        &RoundingMetrics::added),
    metric_rows::count({"padded", "rows", Better::kLower, "Padded", "rows of zeros"}, &RoundingMetrics::padded),
    metric_rows::count({"duplicated", "rows", Better::kLower, "Duplicated", "rows that repeat a token with gate 0"},
                       &RoundingMetrics::duplicated),
    metric_rows::of_gates(metric_rows::count(
        {"tokens_without_expert", "tokens", Better::kLower, "No expert", "tokens that no row computes"},
        &RoundingMetrics::tokens_without_expert)),
    metric_rows::count(
        {"starved_experts", "experts", Better::kLower, "Starved", "experts that had tokens and have no row"},
        &RoundingMetrics::starved_experts),
    metric_rows::of_gates(metric_rows::count(
        {"experts_per_token_max", "experts", Better::kLower, "Most", "experts that compute one token, the most of any"},
        &RoundingMetrics::experts_per_token_max, OverLayers::kMost)),
    metric_rows::mean(
        {"tile_utilisation", "share", Better::kHigher, "Utilisation", "useful rows over rows of whole tiles"},
        &RoundingMetrics::tile_utilisation),
    metric_rows::mean({"wasted_flops", "share", Better::kLower, "", "1 - tile_utilisation"},
                      &RoundingMetrics::wasted_flops),
    metric_rows::mean({"mean_expert_utilisation", "share", Better::kHigher, "",
                       "the same of each expert, mean over experts that have rows"},
                      &RoundingMetrics::mean_expert_utilisation),
    metric_rows::mean({"dropped_share", "share", Better::kLower, "Dropped share", "dropped over T K"},
                      &RoundingMetrics::dropped_share),
    metric_rows::mean({"added_share", "share of T K", Better::kNeither, "Added share", "added over T K"},
                      &RoundingMetrics::added_share),
    metric_rows::mean({"padded_share", "share of T K", Better::kLower, "Padded share", "padded over T K"},
                      &RoundingMetrics::padded_share),
    metric_rows::mean({"duplicated_share", "share of T K", Better::kLower, "Duplicated share", "duplicated over T K"},
                      &RoundingMetrics::duplicated_share),
    metric_rows::of_gates(metric_rows::mean(
        {"dropped_gate_mass", "gate", Better::kLower, "Lost gate mass", "gates dropped, mean over tokens"},
        &RoundingMetrics::dropped_gate_mass)),
    metric_rows::of_gates(metric_rows::mean({"mean_square_dropped_mass", "gate^2", Better::kLower, "",
                                             "square of a token's dropped gates, mean over tokens"},
                                            &RoundingMetrics::mean_square_dropped_mass)),
    metric_rows::of_gates(metric_rows::mean(
        {"mean_cube_dropped_mass", "gate^3", Better::kLower, "", "cube of a token's dropped gates, mean over tokens"},
        &RoundingMetrics::mean_cube_dropped_mass)),
    metric_rows::of_gates(metric_rows::mean({"mean_dropped_probability", "probability", Better::kLower, "Prob.",
                                             "routing probability of what was dropped, mean over it"},
                                            &RoundingMetrics::mean_dropped_probability, &RoundingMetrics::dropped)),
    metric_rows::mean({"rounding_loss", "share", Better::kLower, "", "(count mod tile) / tile, mean over experts"},
                      &RoundingMetrics::rounding_loss),
};

/// Takes the values from metrics that more must be known for: no number (NaN), 0 for counts.
inline void forget_unknown(RoundingMetrics& metrics) {
  for (const RoundingMetric& metric : kRoundingMetrics) {
    if (metric.is_known(metrics)) continue;
    if (metric.is_count()) {
      metrics.*metric.count = 0;
    } else {
      metrics.*metric.real = std::numeric_limits<double>::quiet_NaN();
    }
  }
}

}  // namespace tatr
