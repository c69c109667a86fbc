// Takes interleaved samples of several candidates. Decides the protocol (warm-up, order, flush, when to stop); knows
// nothing of what it times, and reaches clocks and caches only through a Stopwatch, so that a fake one tests it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tatr {

/// A device's clock and cache.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  /// Drops what caches hold, with work that is not timed.
  virtual void flush_caches() = 0;
  /// Starts a sample: forgets all marks.
  virtual void start() = 0;
  /// Marks the point that the device's work has reached.
  virtual void mark() = 0;
  /// Waits for the work and gives the milliseconds between consecutive marks. Throws DeviceTimeoutError, with the marks
  /// that were reached, where the device does not finish.
  virtual std::vector<double> elapsed_ms() = 0;
};

struct SampledStage {
  std::string name;
  std::function<void()> work;
};

/// Work in stages that follow each other; each is timed apart, and all together.
struct Candidate {
  std::string name;
  std::vector<SampledStage> stages;
};

/// Raw samples of one candidate, in the order taken: stage_ms[stage][round] and, of the whole, total_ms[round].
struct Series {
  std::vector<std::vector<double>> stage_ms;
  std::vector<double> total_ms;
};

struct SamplingRules {
  int least_rounds = 10;
  int most_rounds = 20;
  double enough_width = 0.005;  // stop early once each median's 95 % interval is within +- this share
  bool cold_caches = true;
  double least_warm_up_ms = 1000.0;  // of work: a GPU takes that long to settle at its power cap
  int most_warm_up_rounds = 50;
};

/// Warms up, calls `when_warm`, then samples A B C A B C … until the rules say stop, and calls `before_round` before
/// each A. Every candidate has as many samples as there were rounds. A DeviceTimeoutError names the candidate and the
/// stage that the device is in.
std::vector<Series> sample_interleaved(
    const std::vector<Candidate>& candidates, const SamplingRules& rules, Stopwatch& watch,
    const std::function<void()>& when_warm = [] {}, const std::function<void()>& before_round = [] {});

/// How far the machine's speed moved over the rounds: the 9th decile of their times over the 1st, less 1. Every
/// candidate of a round counts. 0 without rounds.
double round_drift(const std::vector<Series>& series);

/// A warning if the drift is more than 10 %: times then say little, ratios of pairs still do.
std::optional<std::string> drift_warning(double drift);

/// A warning if more than one sample in ten is an outlier. Medians and their intervals bear fewer.
std::optional<std::string> outlier_warning(const std::vector<double>& samples);

}  // namespace tatr
