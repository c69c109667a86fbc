// The one list of metric names: JSON, network totals and the comparison with documented figures all walk it. Decides
// names and order; what a metric means is defined in rounding/rounding.hpp.
#pragma once

#include <array>
#include <cstdint>

#include "report/records.hpp"

namespace tatr {

/// A metric that adds up over layers.
struct CountMetric {
  const char* name;
  std::int64_t RoundingMetrics::*member;
};

/// A metric of which layers have a mean. `is_share`: a part of a whole, compared in points.
struct MeanMetric {
  const char* name;
  double RoundingMetrics::*member;
  bool is_share;
};

struct TimingMetric {
  const char* name;
  TimingSeries LayerTiming::*member;
};

inline constexpr std::array<CountMetric, 8> kCountMetrics = {{
    {"rows", &RoundingMetrics::rows},
    {"tiles", &RoundingMetrics::tiles},
    {"dropped", &RoundingMetrics::dropped},
    {"added", &RoundingMetrics::added},
    {"padded", &RoundingMetrics::padded},
    {"duplicated", &RoundingMetrics::duplicated},
    {"tokens_without_expert", &RoundingMetrics::tokens_without_expert},
    {"starved_experts", &RoundingMetrics::starved_experts},
}};

inline constexpr std::array<MeanMetric, 12> kMeanMetrics = {{
    {"tile_utilisation", &RoundingMetrics::tile_utilisation, true},
    {"wasted_flops", &RoundingMetrics::wasted_flops, true},
    {"mean_expert_utilisation", &RoundingMetrics::mean_expert_utilisation, true},
    {"dropped_share", &RoundingMetrics::dropped_share, true},
    {"added_share", &RoundingMetrics::added_share, true},
    {"padded_share", &RoundingMetrics::padded_share, true},
    {"duplicated_share", &RoundingMetrics::duplicated_share, true},
    {"dropped_gate_mass", &RoundingMetrics::dropped_gate_mass, false},
    {"mean_square_dropped_mass", &RoundingMetrics::mean_square_dropped_mass, false},
    {"mean_cube_dropped_mass", &RoundingMetrics::mean_cube_dropped_mass, false},
    {"mean_dropped_probability", &RoundingMetrics::mean_dropped_probability, false},
    {"rounding_loss", &RoundingMetrics::rounding_loss, false},
}};

inline constexpr std::array<TimingMetric, 8> kTimingMetrics = {{
    {"route_us", &LayerTiming::route_us},
    {"round_us", &LayerTiming::round_us},
    {"layer_ms", &LayerTiming::layer_ms},
    {"gather_ms", &LayerTiming::gather_ms},
    {"up_ms", &LayerTiming::up_ms},
    {"activation_ms", &LayerTiming::activation_ms},
    {"down_ms", &LayerTiming::down_ms},
    {"combine_ms", &LayerTiming::combine_ms},
}};

}  // namespace tatr
