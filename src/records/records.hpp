// The records that an experiment leaves and every report reads. Plain values: no CUDA, no Thrust, nothing computed
// here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/statistics.hpp"
#include "layer/stage.hpp"
#include "model/floors.hpp"
#include "model/gpu_model.hpp"
#include "model/waves.hpp"
#include "options/options.hpp"
#include "parallel/rank_loads.hpp"
#include "quality/estimate.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// How times came about. They are never mixed: an experiment's are all of one kind.
enum class TimingKind { kMeasured, kModelled };

/// Samples of one quantity with their statistics; unit in the name of the member that holds it.
struct TimingSeries {
  std::vector<double> samples;  // in the order taken; sample i of all strategies belongs to the same round
  double median = 0, lower_quartile = 0, upper_quartile = 0;
  std::optional<Interval> modelled = {};  // in place of all the above
};

/// Of interleaved pairs; or modelled, as the timing that has it says.
using RatioInterval = Interval;

struct LayerTiming {
  TimingKind kind = TimingKind::kMeasured;
  std::string backend;                              // "openblas", "cublas_grouped", "tatr", …
  bool fuses_gather = false, fuses_swiglu = false;  // into the up-projection: they have no times of their own
  std::optional<std::int64_t> granule_rows;   // what the kernel really rounds an expert's rows up to; absent: by load
  std::optional<int> launches;                // of each GEMM, where the back end has a say in it
  bool cpu_reduced = false;                   // measured on a smaller layer than the config's; never of modelled times
  std::int64_t hidden = 0, intermediate = 0;  // the shape that ran, or that is modelled
  bool training = false;                      // forward and backward: layer_ms is of both
  TimingSeries route_us, round_us, layer_ms;  // without samples or modelled value: there was nothing to do
  TimingSeries forward_ms, backward_ms;       // of training: sums over their stages, round by round
  std::array<TimingSeries, kStages.size()> stage_ms;  // likewise

  /// Of each GEMM: the back end's kernel that ran (empty: not known), and what rows it rounds up, as granule_rows does.
  std::array<std::string, kStages.size()> variants;
  std::array<std::optional<std::int64_t>, kStages.size()> granules;

  const TimingSeries& of(Stage stage) const { return stage_ms[index_of(stage)]; }
  TimingSeries& of(Stage stage) { return stage_ms[index_of(stage)]; }

  std::optional<double> useful_tflops, hardware_tflops;
  std::optional<double> forward_useful_tflops, forward_hardware_tflops, backward_useful_tflops,
      backward_hardware_tflops;  // of training
  std::optional<RatioInterval> speedup, end_to_end_speedup;
  std::optional<RatioInterval> forward_speedup, backward_speedup;  // of training
  std::vector<std::string> end_to_end_counts;  // what the latter adds up: "routing" where it ran, "rounding", "layer"
  // Distance of the output to that of `none` over its norm: overall, over the 1 % of tokens furthest off, and of its
  // parts.
  std::optional<double> output_error, output_error_worst_percent;
  std::optional<double> output_error_dropped, output_error_added, output_error_rescaled;
  std::optional<double> sm_clock_mhz, power_w;  // of the GPU, at the end of the samples

  std::optional<std::int64_t> kept_bytes_per_row;  // of training: from forward to backward

  /// Of each GEMM, modelled; null where the device's ceilings are not known.
  std::array<std::optional<GemmFloor>, kStages.size()> floors;
  const std::optional<GemmFloor>& floor_of(Stage stage) const { return floors[index_of(stage)]; }
  std::optional<GemmFloor>& floor_of(Stage stage) { return floors[index_of(stage)]; }
  std::optional<double> uniform_ms;        // the yardstick: equal counts, strided batched GEMMs
  std::vector<double> uniform_samples_ms;  // its samples, each taken right after the layer's of the same round
};

/// A metric over groups of tokens.
struct BatchSpread {
  double mean = 0;
  std::optional<double> deviation;  // of a sample; absent of one group
  double worst = 0;                 // the lowest or highest, as the metric says; the highest where neither is better
  std::int64_t worst_group = 0;
};

/// What rounding did to each of several groups of tokens, as steps of training or serving have them.
struct BatchRecord {
  std::int64_t tokens = 0;                         // of a group, the most of any
  std::vector<RoundingMetrics> groups;             // without lists by expert
  std::vector<std::optional<BatchSpread>> spread;  // in the order of kRoundingMetrics; absent where it has no value
  std::int64_t median_group = 0, worst_group = 0;  // by tiles of the first setting: those that are timed
  std::optional<LayerTiming> worst_timing;         // of one layer
  std::optional<double> worst_layer_ms;            // of it; of a network, the sum over its layers
};

/// What a strategy asks of each of several ranks.
struct ParallelRecord {
  std::vector<RankLoad> ranks;
  double busiest_tiles = 0, busiest_rows = 0;   // the most of any rank, over the mean
  std::int64_t wire_rows = 0, wire_copies = 0;  // of all ranks, one way
  std::optional<std::int64_t> wire_bytes = {};  // one way, bf16; absent without a layer, whose width is not known
};

struct StrategyRecord {
  StrategyConfig strategy;
  std::int64_t layer = 0;
  RoundingMetrics metrics;  // of several groups: of the one with median tiles
  QualityEstimate quality;  // as if all layers of the network were like this one; of several groups: of their means
  std::optional<LayerTiming> timing;
  std::vector<std::string> warnings;
  std::optional<WaveRecord> waves;
  std::optional<BatchRecord> batches;  // where there are several groups
  std::optional<ParallelRecord> parallel;
};

/// Totals and means over the layers of one strategy label and tile (analysis/network.hpp).
struct NetworkRecord {
  std::string name, label;
  StrategyKind kind = StrategyKind::kNone;
  std::int64_t tile = 0;    // the experiment's tile that the strategy stands beside; 0: none is known
  bool own_tiles = false;   // each expert has its own tile (dynamic)
  RoundingMetrics metrics;  // counts are sums, all else are means; no lists by expert
  QualityEstimate quality;  // of a network of these layers
  double lowest_utilisation = 1.0, highest_dropped_mass = 0.0;  // of any layer
  std::optional<TimingKind> timing_kind;                        // of the layers that have times
  bool cpu_reduced = false;                                     // any layer was timed on a reduced CPU shape
  std::optional<double> layer_ms, gemm_ms;  // sums of medians, or modelled; absent unless every layer was timed
  std::optional<double> speedup;            // `none` at the same tile: its layer_ms sum over this one's (no interval)
  std::optional<RatioInterval>
      speedup_over_fastest;            // the same over `none` at the tile, of several, where it is fastest
  std::vector<std::size_t> layers;     // places in the experiment's list of strategies
  std::optional<BatchRecord> batches;  // each group over all layers
};

struct RoutingRecord {
  std::int64_t layer = 0, tokens = 0, experts = 0, top_k = 0, assignments = 0;
  std::int64_t masked = 0;  // tokens that were left out
  std::string tensor;       // name in the trace; empty for synthetic logits
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
  std::string reach;                       // how far to trust the estimates' intervals, in words
  std::string trace_digest;                // of what was read of files; empty where nothing was
  std::string trace_model;                 // what they say they are of; empty: nothing
  std::string reading;                     // what files were taken for, in words; empty likewise
  std::vector<RoutingRecord> routing;      // one per layer
  std::vector<StrategyRecord> strategies;  // layer-major, then tile, then strategy in config order
  std::vector<NetworkRecord> network;      // in order of first appearance, which is tile, then strategy
  std::vector<DocumentedRecord> documented;
  std::optional<GpuModel> model;                    // of the GPU that the times are modelled on
  std::size_t estimated_bytes = 0, peak_bytes = 0;  // of the system's memory: what --dry-run says and what it was
  std::vector<std::string> warnings;
  std::optional<std::string> error;  // set where the experiment could not be finished (out of memory)
};

/// Routers trained with one weight on the rounding loss, over several seeds. Means over seeds; changes against the
/// lowest weight, seed by seed, absent of the lowest itself and of one seed.
struct TrainingWeightRecord {
  double weight = 0;
  std::vector<std::string> experiments;  // by name
  double rounding_loss = 0, tile_utilisation = 0, task_loss = 0;
  std::optional<double> moved;  // by nearest, dropped or added: a share of assignments
  std::optional<Interval> tile_utilisation_change, task_loss_change, moved_change;  // the task's is relative
};

/// Trainings that are the same but for weight and seed.
struct TrainingRecord {
  std::string surrogate;
  std::int64_t tile = 0;
  std::size_t seeds = 0;                      // of the lowest weight
  std::vector<TrainingWeightRecord> weights;  // rising; at least two
};

/// The first layer of a network's.
inline const StrategyRecord& first_layer(const ExperimentRecord& experiment, const NetworkRecord& network) {
  return experiment.strategies[network.layers.front()];
}

struct RunRecord {
  std::string version, git;
  Environment environment;
  std::vector<ExperimentRecord> experiments;
  std::vector<TrainingRecord> training = {};
};

}  // namespace tatr
