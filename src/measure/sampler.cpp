#include "measure/sampler.hpp"

#include <algorithm>
#include <numeric>

#include "measure/statistics.hpp"

namespace tatr {

namespace {

/// Runs a candidate once and gives the milliseconds of its stages.
std::vector<double> run_once(const Candidate& candidate, bool cold, Stopwatch& watch) {
  if (cold) watch.flush_caches();
  watch.start();
  watch.mark();
  for (const auto& stage : candidate.stages) {
    stage();
    watch.mark();
  }
  return watch.elapsed_ms();
}

bool precise_enough(const std::vector<Series>& series, double width) {
  return std::all_of(series.begin(), series.end(), [&](const Series& one) {
    const Interval median = median_interval(one.total_ms);
    return median.high - median.low <= 2.0 * width * median.value;
  });
}

}  // namespace

std::vector<Series> sample_interleaved(const std::vector<Candidate>& candidates, const SamplingRules& rules,
                                       Stopwatch& watch, const std::function<void()>& when_warm) {
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
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const std::vector<double> stages = run_once(candidates[i], rules.cold_caches, watch);
      for (std::size_t s = 0; s < stages.size(); ++s) series[i].stage_ms[s].push_back(stages[s]);
      series[i].total_ms.push_back(std::accumulate(stages.begin(), stages.end(), 0.0));
    }
  }
  return series;
}

}  // namespace tatr
