// Sets a new result beside a base: integers must be the same, times are judged by intervals of ratios to a yardstick
// that each run interleaved with them. Decides verdicts and their reasons; reads no file, prints nothing.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/statistics.hpp"
#include "records/result_file.hpp"

namespace tatr {

/// All that decides a verdict. A time is `same` if the whole 95 % interval of NEW / BASE is within its margin. It is
/// `slower` or `faster` if the whole interval is beyond the margin and a wider one, which allows for how many times are
/// judged, is beyond 1. Else it is `ambiguous`.
struct CompareThresholds {
  double layer_margin = 0.02;
  double gemm_margin = 0.03;
  double stage_margin = 0.30;
  double false_alarm = 0.1;
  double history_false_alarm = 0.05;
  double least_ms = 0.01;
  double least_samples = 8;
  double mean_tolerance = 1e-9;
  double output_error_tolerance = 0.01;
};

struct ThresholdField {
  const char* name;
  double CompareThresholds::*member;
  const char* meaning;
};

inline constexpr std::array<ThresholdField, 9> kThresholdFields = {{
    {"layer_margin", &CompareThresholds::layer_margin, "of layer_ms over its yardstick"},
    {"gemm_margin", &CompareThresholds::gemm_margin, "of up_ms and down_ms"},
    {"stage_margin", &CompareThresholds::stage_margin,
     "of other times on a GPU, paced by memory and launches, not by the yardstick's clock"},
    {"false_alarm", &CompareThresholds::false_alarm, "chance that noise alone calls any time of an experiment slower"},
    {"history_false_alarm", &CompareThresholds::history_false_alarm,
     "chance that noise alone marks a change anywhere in the history of an experiment"},
    {"least_ms", &CompareThresholds::least_ms, "shorter times are not judged: events resolve about 0.001 ms"},
    {"least_samples", &CompareThresholds::least_samples, "fewer are ambiguous"},
    {"mean_tolerance", &CompareThresholds::mean_tolerance, "relative, of means over tokens; integers must be equal"},
    {"output_error_tolerance", &CompareThresholds::output_error_tolerance,
     "relative: kernels may add up in another order"},
}};

enum class Change { kSame, kFaster, kSlower, kChanged, kAmbiguous, kMissing };

inline constexpr std::array<const char*, 6> kChangeNames = {"same",    "faster",    "slower",
                                                            "changed", "ambiguous", "missing"};

/// Times of one metric, in its own unit: medians of both runs, and NEW / BASE after division by the yardstick.
struct TimeChange {
  double base = 0, next = 0;
  std::optional<Interval> ratio;  // absent: not judged
};

/// One metric of one strategy at one tile and layer; without a label, of the experiment.
struct MetricChange {
  std::string label;
  std::optional<std::int64_t> tile;  // absent: each expert has its own, or of the experiment
  std::int64_t layer = 0;
  std::string metric;
  std::optional<Change> change;  // absent: shown, not judged
  std::string reason;
  std::optional<TimeChange> time;
  std::optional<std::pair<double, double>> shown = {};  // of BASE and NEW, beside each other where they are not judged
  std::optional<double> samples_needed = {};  // where it is ambiguous, about how many would tell; absent: none would
};

struct ExperimentComparison {
  std::string name, config_hash, device;
  std::string next_config_hash;  // empty: the same
  std::size_t settings_in_both = 0;
  std::vector<MetricChange> metrics;
  std::size_t same_left_out = 0, same_times_left_out = 0;  // metrics that are `same` and not listed; times among them
  std::vector<std::string> notes;                          // what else differs and may explain it; never judged
};

struct Comparison {
  std::vector<ExperimentComparison> experiments;  // in BASE's order
  std::vector<std::string> notes;                 // what only NEW has
  std::size_t count(Change change) const;
  std::size_t count_times(Change change) const;  // of them, those that are times
  std::size_t times_not_judged() const;          // shown only
  std::vector<double> samples_needed() const;    // of ambiguous times that more samples would tell, rising
};

/// Experiments that are loaded one by one: what they are called is known before.
struct ExperimentSource {
  std::string name;  // of the file, for errors; may be empty
  std::vector<ResultKey> keys;
  std::function<ResultExperiment(std::size_t)> load;
};

ExperimentSource source_of(ResultFile& file);  // which must outlive it
ExperimentSource source_of(const std::vector<ResultExperiment>& results);

/// Matches experiments by name and config hash, and what is then left, where a name is there once, by name alone;
/// strategies by layer, label and tile. Of configs that differ, or traces that held something else, only figures that
/// follow from the same inputs are judged; others are shown. Throws InputError where a name and hash is twice in one of
/// them, nothing is in both, or the times of a match are measured in one and modelled in
/// the other or modelled by different device files; EnvironmentError where a match ran on another device or is of a
/// schema version that does not compare.
Comparison compare_results(const std::vector<ResultExperiment>& base, const std::vector<ResultExperiment>& next,
                           const CompareThresholds& thresholds);

/// The same for results that need not fit into memory: one experiment of each is held at a time. Without `list_same`,
/// metrics that are `same` are only counted, but for the layer's times.
Comparison compare_results(const ExperimentSource& base, const ExperimentSource& next,
                           const CompareThresholds& thresholds, bool list_same);

/// Slower and changed are regressions; with `strict`, so are ambiguous and missing. Faster never is.
bool is_regression(Change change, bool strict);

/// Whether any metric is.
bool regressed(const Comparison& comparison, bool strict);

}  // namespace tatr
