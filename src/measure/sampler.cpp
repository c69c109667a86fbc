#include "measure/sampler.hpp"

#include <algorithm>
#include <numeric>

#include "core/error.hpp"
#include "core/statistics.hpp"

namespace tatr {

namespace {

/// "nearest at tile 128, up-projection": the stage that begins at the last mark that was reached.
std::string place_of(const Candidate& candidate, int marks_reached) {
  const auto stage = static_cast<std::size_t>(std::max(marks_reached - 1, 0));
  return candidate.name + (stage < candidate.stages.size() ? ", " + candidate.stages[stage].name : "");
}

/// Runs a candidate once and gives the milliseconds of its stages.
std::vector<double> run_once(const Candidate& candidate, bool cold, Stopwatch& watch) {
  if (cold) watch.flush_caches();
  watch.start();
  watch.mark();
  for (const SampledStage& stage : candidate.stages) {
    stage.work();
    watch.mark();
  }
  try {
    return watch.elapsed_ms();
  } catch (const DeviceTimeoutError& error) {
    throw DeviceTimeoutError(place_of(candidate, error.marks_reached()) + ": " + error.what(), error.marks_reached());
  }
}

bool precise_enough(const std::vector<Series>& series, double width) {
  return std::all_of(series.begin(), series.end(), [&](const Series& one) {
    const Interval median = median_interval(one.total_ms);
    return median.high - median.low <= 2.0 * width * median.value;
  });
}

}  // namespace

std::vector<Series> sample_interleaved(const std::vector<Candidate>& candidates, const SamplingRules& rules,
                                       Stopwatch& watch, const std::function<void()>& when_warm,
                                       const std::function<void()>& before_round) {
  double warm_ms = 0.0;
  for (int round = 0; round < rules.most_warm_up_rounds && (round == 0 || warm_ms < rules.least_warm_up_ms); ++round) {
    for (const Candidate& candidate : candidates) {
      const std::vector<double> stages = run_once(candidate, rules.cold_caches, watch);
      warm_ms += std::accumulate(stages.begin(), stages.end(), 0.0);
    }
  }
  when_warm();
  std::vector<Series> series(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) series[i].stage_ms.resize(candidates[i].stages.size());
  for (int round = 0; round < rules.most_rounds; ++round) {
    if (round >= rules.least_rounds && precise_enough(series, rules.enough_width)) break;
    before_round();
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const std::vector<double> stages = run_once(candidates[i], rules.cold_caches, watch);
      for (std::size_t s = 0; s < stages.size(); ++s) series[i].stage_ms[s].push_back(stages[s]);
      series[i].total_ms.push_back(std::accumulate(stages.begin(), stages.end(), 0.0));
    }
  }
  return series;
}

double round_drift(const std::vector<Series>& series) {
  std::vector<double> rounds(series.empty() ? 0 : series.front().total_ms.size());
  for (const Series& one : series) {
    for (std::size_t i = 0; i < rounds.size(); ++i) rounds[i] += one.total_ms[i];
  }
  const double fast = rounds.empty() ? 0.0 : quantile(rounds, 0.1);
  return fast > 0 ? quantile(rounds, 0.9) / fast - 1 : 0.0;
}

std::optional<std::string> drift_warning(double drift) {
  constexpr double kDrifted = 0.1;
  if (drift <= kDrifted) return std::nullopt;
  return "the machine's speed drifted by more than 10 % over the samples: compare ratios, not times";
}

std::optional<std::string> outlier_warning(const std::vector<double>& samples) {
  if (count_outliers(samples) * 10 <= samples.size()) return std::nullopt;
  return "more than one sample in ten is an outlier: something else used the machine, or its speed swung";
}

}  // namespace tatr
