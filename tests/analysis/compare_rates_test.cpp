// How often a comparison is wrong, on simulated pairs of runs.
#include <cstdio>

#include "analysis/compare.hpp"
#include "catch.hpp"
#include "simulated_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

struct Rates {
  int pairs = 0;
  int false_alarms = 0;  // pairs with a regression where nothing is slower
  int found = 0;         // pairs whose slowed strategy's layer time is `slower`
  int wrongly = 0;       // pairs where another strategy is a regression, too
  int faster = 0;        // pairs of the same build with a metric that is `faster`
  int ambiguous = 0;     // pairs of the same build that --strict would refuse
};

bool layer_slower(const Comparison& comparison, const std::string& label) {
  for (const MetricChange& metric : comparison.experiments[0].metrics) {
    if (metric.label == label && metric.metric == "layer_ms") return metric.change == Change::kSlower;
  }
  return false;
}

bool others_regress(const Comparison& comparison, const std::string& label) {
  for (const MetricChange& metric : comparison.experiments[0].metrics) {
    if (metric.label != label && metric.change && is_regression(*metric.change, false)) return true;
  }
  return false;
}

Rates measure(SimulatedRun how, int pairs) {
  Rates rates;
  rates.pairs = pairs;
  for (int pair = 0; pair < pairs; ++pair) {
    const auto seed = static_cast<std::uint64_t>(pair) * 3;
    how.factor = 1.0;
    const auto base = simulate(how, seed), same = simulate(how, seed + 1);
    how.factor = 1.05;
    const auto slowed = simulate(how, seed + 2);
    const Comparison unchanged = compare_results(base, same, {}), changed = compare_results(base, slowed, {});
    rates.false_alarms += regressed(unchanged, false);
    rates.faster += unchanged.count(Change::kFaster) > 0;
    rates.ambiguous += regressed(unchanged, true);
    rates.found += layer_slower(changed, how.slowed);
    rates.wrongly += others_regress(changed, how.slowed);
  }
  return rates;
}

}  // namespace

TEST_CASE("20 pairs of runs of one build raise no alarm, and 5 % slower is found in at least 19 of 20") {
  const Rates rates = measure({}, 20);
  CHECK(rates.false_alarms == 0);
  CHECK(rates.wrongly == 0);
  CHECK(rates.found >= 19);
}

TEST_CASE("with `none` for a yardstick, and with the 10 samples of a quick run, there is no alarm either") {
  SimulatedRun how;
  how.has_uniform = false;
  CHECK(measure(how, 20).false_alarms == 0);
  how.has_uniform = true;
  how.rounds = 10;
  CHECK(measure(how, 20).false_alarms == 0);
}

TEST_CASE("rates of 1000 pairs", "[.rates]") {
  for (const bool has_uniform : {true, false}) {
    for (const int rounds : {10, 20, 100}) {
      SimulatedRun how;
      how.has_uniform = has_uniform;
      how.rounds = rounds;
      const Rates rates = measure(how, 1000);
      std::printf(
          "over %-14s %3d samples: false alarms %4.1f %%, 5 %% found %5.1f %%, wrongly blamed %4.1f %%, "
          "falsely faster %4.1f %%, refused by --strict %5.1f %%\n",
          has_uniform ? "cublas_uniform" : "none", rounds, rates.false_alarms / 10.0, rates.found / 10.0,
          rates.wrongly / 10.0, rates.faster / 10.0, rates.ambiguous / 10.0);
      CHECK(rates.false_alarms <= 2);
    }
  }
}
