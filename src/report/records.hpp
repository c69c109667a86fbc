// The records that an experiment leaves and every report reads. Plain values: no CUDA, no Thrust, nothing computed
// here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "options/options.hpp"
#include "quality/estimate.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// Samples of one quantity with their statistics; unit in the name of the member that holds it.
struct TimingSeries {
  std::vector<double> samples;  // in the order taken; sample i of all strategies belongs to the same round
  double median = 0, lower_quartile = 0, upper_quartile = 0;
};

/// A ratio from interleaved pairs with a 95 % interval.
struct RatioInterval {
  double value = 0, low = 0, high = 0;
};

/// What a GEMM cannot beat: the larger of the FLOPs of its whole tiles and its bytes, over the device's measured
/// ceilings.
struct GemmFloor {
  double ms = 0;
  bool by_bytes = false;  // bytes bind, not FLOPs
};

struct LayerTiming {
  std::string backend;                              // "openblas", "cublas_grouped", "tatr", …
  bool fuses_gather = false, fuses_swiglu = false;  // into the up-projection: their own times are zero
  std::optional<std::int64_t> granule_rows;   // what the kernel really rounds an expert's rows up to; absent: by load
  std::optional<int> launches;                // of each GEMM, where the back end has a say in it
  std::string up_variant, down_variant;       // the back end's kernel that ran; empty: not known
  bool cpu_reduced = false;                   // measured on a smaller layer than the config's
  std::int64_t hidden = 0, intermediate = 0;  // the shape that ran
  TimingSeries route_us, round_us, layer_ms, gather_ms, up_ms, activation_ms, down_ms, combine_ms;
  double useful_tflops = 0, hardware_tflops = 0;
  std::optional<RatioInterval> speedup, end_to_end_speedup;
  // Distance of the output to that of `none` over its norm: overall, over the 1 % of tokens furthest off, and of its
  // parts.
  std::optional<double> output_error, output_error_worst_percent;
  std::optional<double> output_error_dropped, output_error_added, output_error_rescaled;
  std::optional<double> sm_clock_mhz, power_w;  // of the GPU, at the end of the samples

  std::optional<GemmFloor> up_floor, down_floor;  // modelled; null where the device's ceilings are not known
  std::optional<double> uniform_ms;               // the yardstick: equal counts, strided batched GEMMs
  std::vector<double> uniform_samples_ms;         // its samples, each taken right after the layer's of the same round
};

/// What a budget of waves came to. A wave is as many output tiles of the up-projection as there are multiprocessors;
/// modelled.
struct WaveRecord {
  double asked = 0;
  std::int64_t sms = 0, column_tiles = 0;  // output tiles that a tile of rows has side by side
  double filled = 0;
  std::int64_t nearest_tiles = 0;  // what nearest uses
  double nearest_waves = 0;
};

struct StrategyRecord {
  StrategyConfig strategy;
  std::int64_t layer = 0;
  RoundingMetrics metrics;
  QualityEstimate quality;  // as if all layers of the network were like this one
  std::optional<LayerTiming> timing;
  std::vector<std::string> warnings;
  std::optional<WaveRecord> waves;
};

struct RoutingRecord {
  std::int64_t layer = 0, tokens = 0, experts = 0, top_k = 0, assignments = 0;
  std::string tensor;  // name in the trace; empty for synthetic logits
  std::int64_t count_min = 0, count_max = 0;
  double count_median = 0, count_cv = 0;
  std::optional<double> task_loss;  // of a trained router: share of the target that the layer misses
};

enum class Verdict { kReproduced, kDiffers, kInconsistent, kNotMeasured };

struct DocumentedRecord {
  DocumentedFigure figure;
  std::optional<double> measured;
  Verdict verdict = Verdict::kNotMeasured;
  std::string why;
};

struct Environment {
  std::string host, cpu, date;
  int threads = 0;
  std::string device;  // "cpu" or the GPU's name
  std::optional<std::string> driver, cuda;
  std::optional<double> sm_clock_mhz, power_w;
  std::vector<std::string> back_ends;
};

struct ExperimentRecord {
  ExperimentConfig config;
  std::optional<Calibration> calibration;  // what perplexity is estimated by
  std::string trace_digest;                // of what was read of the trace; empty without one
  std::vector<RoutingRecord> routing;      // one per layer
  std::vector<StrategyRecord> strategies;  // layer-major, then tile, then strategy in config order
  std::vector<DocumentedRecord> documented;
  std::size_t estimated_bytes = 0, peak_bytes = 0;  // of the system's memory: what --dry-run says and what it was
  std::vector<std::string> warnings;
  std::optional<std::string> error;  // set where the experiment could not be finished (out of memory)
};

struct RunRecord {
  std::string version, git;
  Environment environment;
  std::vector<ExperimentRecord> experiments;
};

}  // namespace tatr
