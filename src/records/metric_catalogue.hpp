// The catalogue of all that an experiment measures: JSON, CSV, page, comparison, documented figures and the result's
// schema walk it. Metrics of rounding: rounding/metrics.hpp; a stage's time is a row of layer/stage.hpp.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "records/records.hpp"
#include "rounding/metrics.hpp"

namespace tatr {

/// Null where there is no metric of that name.
const RoundingMetric* find_rounding_metric(std::string_view name);

/// Whether a metric is a part of a whole, to be shown in percent and compared in points.
bool is_share_metric(std::string_view name);

/// Why metrics that need more than is known of the routing have no value; empty where all have.
std::string why_unknown(const RoundingMetrics& metrics);

/// A metric over groups of tokens; absent where it has no value.
const std::optional<BatchSpread>& spread_of(const BatchRecord& batches, std::string_view metric);

/// A metric of a network; of several groups of tokens the mean over them. No number (NaN) where it is not known.
double mean_of(const NetworkRecord& network, std::string_view metric);

/// A time that is sampled.
struct TimeMetric {
  std::string_view name, unit, help;
  TimingSeries LayerTiming::*member = nullptr;  // null: of the stage
  Stage stage = Stage::kGather;
  bool training = false;  // of a training pass only

  const TimingSeries& in(const LayerTiming& timing) const {
    return member != nullptr ? timing.*member : timing.of(stage);
  }
};

namespace metric_rows {

constexpr auto time_metrics() {
  std::array<TimeMetric, 5 + kStages.size()> rows{};
  rows[0] = {"route_us", "us", "top-k with gates and counts, of logits", &LayerTiming::route_us};
  rows[1] = {"round_us", "us", "rounding, from gates to the list of rows", &LayerTiming::round_us};
  rows[2] = {"layer_ms", "ms", "all stages of the expert layer", &LayerTiming::layer_ms};
  std::size_t next = 3;
  const auto add_stages = [&](bool backward) {
    for (const StageInfo& stage : kStages) {
      if (stage.backward != backward) continue;
      rows[next++] = {stage.metric, "ms", stage.name, nullptr, stage.stage, backward};
    }
  };
  add_stages(false);
  rows[next++] = {"forward_ms", "ms", "its stages forward", &LayerTiming::forward_ms, Stage::kGather, true};
  rows[next++] = {"backward_ms", "ms", "its stages backward", &LayerTiming::backward_ms, Stage::kGather, true};
  add_stages(true);
  return rows;
}

}  // namespace metric_rows

inline constexpr auto kTimeMetrics = metric_rows::time_metrics();

/// A ratio with its interval.
struct RatioMetric {
  std::string_view name, help;
  std::optional<RatioInterval> LayerTiming::*member;
  bool training = false;  // of a training pass only
};

inline constexpr RatioMetric kRatioMetrics[] = {
    {"speedup", "layer_ms of none at the tile over the strategy's", &LayerTiming::speedup},
    {"end_to_end_speedup", "the same of layer, rounding and, where it ran, routing", &LayerTiming::end_to_end_speedup},
    {"forward_speedup", "forward_ms of none at the tile over the strategy's", &LayerTiming::forward_speedup, true},
    {"backward_speedup", "backward_ms of none at the tile over the strategy's", &LayerTiming::backward_speedup, true},
};

/// What follows from times, or is measured beside them; one number.
struct TimingValue {
  std::string_view name, unit, help;
  std::optional<double> LayerTiming::*member;
  bool training = false;  // of a training pass only
};

inline constexpr TimingValue kTimingValues[] = {
    {"useful_tflops", "TFLOP/s", "of useful rows", &LayerTiming::useful_tflops},
    {"hardware_tflops", "TFLOP/s", "of rows of whole tiles", &LayerTiming::hardware_tflops},
    {"output_error", "share", "distance of the output to that of none, over its norm", &LayerTiming::output_error},
    {"output_error_worst_percent", "share", "the same over the 1 % of tokens furthest off",
     &LayerTiming::output_error_worst_percent},
    {"output_error_dropped", "share", "what dropped assignments had contributed", &LayerTiming::output_error_dropped},
    {"output_error_added", "share", "what added rows contribute", &LayerTiming::output_error_added},
    {"output_error_rescaled", "share", "change of gates that stay", &LayerTiming::output_error_rescaled},
    {"sm_clock_mhz", "MHz", "at the end of the samples", &LayerTiming::sm_clock_mhz},
    {"power_w", "W", "at the end of the samples", &LayerTiming::power_w},
    {"uniform_ms", "ms", "both GEMMs with equal counts, by cuBLAS: the yardstick", &LayerTiming::uniform_ms},
    {"forward_useful_tflops", "TFLOP/s", "forward, of useful rows", &LayerTiming::forward_useful_tflops, true},
    {"forward_hardware_tflops", "TFLOP/s", "forward, of rows of whole tiles", &LayerTiming::forward_hardware_tflops,
     true},
    {"backward_useful_tflops", "TFLOP/s", "backward, of useful rows", &LayerTiming::backward_useful_tflops, true},
    {"backward_hardware_tflops", "TFLOP/s", "backward, of rows of whole tiles", &LayerTiming::backward_hardware_tflops,
     true},
};

}  // namespace tatr
