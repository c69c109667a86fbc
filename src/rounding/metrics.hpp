// What rounding did to tiles and to quality, and the catalogue of it: names, units and words that every result, table,
// schema and comparison takes from here. A new metric is a member and a row in this file, and its computation:
// expert_metrics.cpp where it follows from counts, metrics.cuh where it is a sum over tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace tatr {

/// T tokens, K choices each; see README, "What the words mean".
struct RoundingMetrics {
  std::int64_t tile = 0;  // 0: each expert has its own (dynamic)
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

  constexpr bool is_count() const { return count != nullptr; }
  constexpr bool is_share() const { return unit.substr(0, 5) == "share"; }
  double in(const RoundingMetrics& metrics) const {
    return is_count() ? static_cast<double>(metrics.*count) : metrics.*real;
  }
};

namespace metric_rows {

constexpr RoundingMetric count(std::string_view name, std::string_view unit, CountMember member, Better better,
                               std::string_view heading, std::string_view help, OverLayers over = OverLayers::kSum) {
  return {name, unit, over, better, heading, help, member};
}

constexpr RoundingMetric mean(std::string_view name, std::string_view unit, RealMember member, Better better,
                              std::string_view heading, std::string_view help, CountMember of = nullptr) {
  return {name, unit, OverLayers::kMean, better, heading, help, nullptr, member, of};
}

}  // namespace metric_rows

inline constexpr RoundingMetric kRoundingMetrics[] = {
    metric_rows::count("rows", "rows", &RoundingMetrics::rows, Better::kNeither, "Rows", "rows of all experts"),
    metric_rows::count("tiles", "tiles", &RoundingMetrics::tiles, Better::kLower, "Tiles",
                       "tiles that hold them, the last of each expert filled up"),
    metric_rows::count("dropped", "assignments", &RoundingMetrics::dropped, Better::kLower, "Dropped",
                       "assignments of top-k that no row computes"),
    metric_rows::count("added", "assignments", &RoundingMetrics::added, Better::kNeither, "Added",
                       "rows of tokens that did not choose the expert"),
    metric_rows::count("padded", "rows", &RoundingMetrics::padded, Better::kLower, "Padded", "rows of zeros"),
    metric_rows::count("duplicated", "rows", &RoundingMetrics::duplicated, Better::kLower, "Duplic.",
                       "rows that repeat a token with gate 0"),
    metric_rows::count("tokens_without_expert", "tokens", &RoundingMetrics::tokens_without_expert, Better::kLower,
                       "No expert", "tokens that no row computes"),
    metric_rows::count("starved_experts", "experts", &RoundingMetrics::starved_experts, Better::kLower, "Starved",
                       "experts that had tokens and have no row"),
    metric_rows::count("experts_per_token_max", "experts", &RoundingMetrics::experts_per_token_max, Better::kLower,
                       "Most", "experts that compute one token, the most of any", OverLayers::kMost),
    metric_rows::mean("tile_utilisation", "share", &RoundingMetrics::tile_utilisation, Better::kHigher, "",
                      "useful rows over rows of whole tiles"),
    metric_rows::mean("wasted_flops", "share", &RoundingMetrics::wasted_flops, Better::kLower, "",
                      "1 - tile_utilisation"),
    metric_rows::mean("mean_expert_utilisation", "share", &RoundingMetrics::mean_expert_utilisation, Better::kHigher,
                      "", "the same of each expert, mean over experts that have rows"),
    metric_rows::mean("dropped_share", "share", &RoundingMetrics::dropped_share, Better::kLower, "",
                      "dropped over T K"),
    metric_rows::mean("added_share", "share of T K", &RoundingMetrics::added_share, Better::kNeither, "",
                      "added over T K"),
    metric_rows::mean("padded_share", "share of T K", &RoundingMetrics::padded_share, Better::kLower, "",
                      "padded over T K"),
    metric_rows::mean("duplicated_share", "share of T K", &RoundingMetrics::duplicated_share, Better::kLower, "",
                      "duplicated over T K"),
    metric_rows::mean("dropped_gate_mass", "gate", &RoundingMetrics::dropped_gate_mass, Better::kLower, "Lost mass",
                      "gates dropped, mean over tokens"),
    metric_rows::mean("mean_square_dropped_mass", "gate^2", &RoundingMetrics::mean_square_dropped_mass, Better::kLower,
                      "", "square of a token's dropped gates, mean over tokens"),
    metric_rows::mean("mean_cube_dropped_mass", "gate^3", &RoundingMetrics::mean_cube_dropped_mass, Better::kLower, "",
                      "cube of a token's dropped gates, mean over tokens"),
    metric_rows::mean("mean_dropped_probability", "probability", &RoundingMetrics::mean_dropped_probability,
                      Better::kLower, "Prob.", "routing probability of what was dropped, mean over it",
                      &RoundingMetrics::dropped),
    metric_rows::mean("rounding_loss", "share", &RoundingMetrics::rounding_loss, Better::kLower, "",
                      "(count mod tile) / tile, mean over experts"),
};

}  // namespace tatr
