#include "analysis/history.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <tuple>

#include "catch.hpp"
#include "core/error.hpp"
#include "simulated_run.hpp"

using namespace tatr;
using namespace tatr::test;
using nlohmann::json;

namespace {

std::vector<double> levels(std::initializer_list<std::pair<int, double>> parts, std::uint64_t seed) {
  Draws draws(seed);
  std::vector<double> values;
  for (const auto& [count, level] : parts) {
    for (int i = 0; i < count; ++i) values.push_back(level * (1 + 0.004 * draws.normal()));
  }
  return values;
}

/// A line of a result, as the program makes it.
std::string line_of(SimulatedRun how, std::uint64_t seed) {
  const ResultExperiment result = simulate(how, seed)[0];
  json environment = result.environment;
  environment["date"] = "2026-01-" + std::to_string(seed);
  return history_line({{"tool", {{"git", "c" + std::to_string(seed)}}},
                       {"environment", environment},
                       {"experiments", json::array({result.experiment})}},
                      "");
}

/// `before` results, and then `after` in which one strategy takes `factor` times as long.
History history_of(int before, int after, double factor, std::uint64_t seed, int rounds = 20) {
  History history;
  for (int i = 0; i < before + after; ++i) {
    SimulatedRun how;
    how.rounds = rounds;
    how.factor = i < before ? 1.0 : factor;
    history.add(line_of(how, seed + static_cast<std::uint64_t>(i)), "h");
  }
  return history;
}

/// The quotients of a run as simulate() has them, without its result: seven strategies.
std::vector<double> quotients(int rounds, double factor, std::uint64_t seed) {
  constexpr int kStrategies = 7;
  constexpr double kScale[kStrategies] = {1.0, 0.78, 0.99, 0.82, 0.88, 0.88, 0.83};
  Draws draws(seed);
  const double noise = draws.uniform(0.005, 0.01), drift = draws.uniform(0.05, 0.15);
  const double period = draws.uniform(10, 60), phase = draws.uniform(0, 6.2832);
  const auto clock = [&](double round) { return 1 + 0.5 * drift * std::sin(phase + 6.2832 * round / period); };
  const auto sample = [&](double ms) {
    const double outlier = draws.uniform(0, 1) < 0.03 ? draws.uniform(1.05, 1.5) : 1.0;
    return ms * outlier * (1 + noise * draws.normal());
  };
  std::vector<double> medians;
  for (int s = 0; s < kStrategies; ++s) {
    const double own = kScale[s] * (1 + 0.002 * draws.normal()) * (s == 4 ? factor : 1.0);
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
      const double paced = clock(round + static_cast<double>(s) / kStrategies);
      const double layer = sample(4.1 * own * paced) + sample(1.9 * own * paced) + sample(0.42 * own);
      ratios.push_back(layer / sample(5.0 * kScale[s] * clock(round + (s + 0.5) / kStrategies)));
    }
    medians.push_back(quantile(ratios, 0.5));
  }
  return medians;
}

struct HistoryRates {
  int false_alarms = 0, found = 0, wrongly = 0, far = 0;
};

/// Of 30 results each: without a change, and with one strategy of seven slower in the last `after`.
HistoryRates measure(int histories, int after, int rounds, double factor) {
  constexpr int kResults = 30, kSlowed = 4;
  ChangePointTest test(CompareThresholds{}.history_false_alarm / 7);
  const auto changes_of = [&](double by, std::uint64_t seed) {
    std::vector<HistorySeries> series(7);
    for (int i = 0; i < kResults; ++i) {
      const auto run = quotients(rounds, i < kResults - after ? 1.0 : by, seed + static_cast<std::uint64_t>(i));
      for (std::size_t s = 0; s < 7; ++s) series[s].values.push_back(run[s]);
    }
    for (HistorySeries& one : series) one.changes = test.find(one.values, CompareThresholds{}.layer_margin);
    return series;
  };
  HistoryRates rates;
  for (int i = 0; i < histories; ++i) {
    const auto seed = static_cast<std::uint64_t>(i) * 1000;
    const auto has_change = [](const HistorySeries& series) { return !series.changes.empty(); };
    const auto same = changes_of(1.0, seed);
    rates.false_alarms += std::any_of(same.begin(), same.end(), has_change);
    auto slowed = changes_of(factor, seed + 500);
    if (slowed_lately(slowed[kSlowed])) {
      ++rates.found;
      rates.far += std::abs(static_cast<int>(slowed[kSlowed].changes.back().at) - (kResults - after)) > 1;
    }
    slowed[kSlowed].changes.clear();
    rates.wrongly += std::any_of(slowed.begin(), slowed.end(), has_change);
  }
  return rates;
}

}  // namespace

TEST_CASE("a step is found where it is, with both levels, and noise is none") {
  ChangePointTest test(0.01);
  const auto found = test.find(levels({{12, 1.0}, {8, 1.05}}, 1), 0.02);
  REQUIRE(found.size() == 1);
  CHECK(found[0].at == 12);
  CHECK(found[0].before == Approx(1).epsilon(0.005));
  CHECK(found[0].after == Approx(1.05).epsilon(0.005));
  CHECK(found[0].chance < 0.001);
  CHECK(test.find(levels({{30, 1.0}}, 2), 0.02).empty());
  CHECK(test.find(std::vector<double>(30, 1.0), 0.02).empty());
  CHECK(test.find({}, 0.02).empty());
}

TEST_CASE("several steps are found, a step within the margin is not one") {
  ChangePointTest test(0.01);
  const auto found = test.find(levels({{15, 1.0}, {15, 1.1}, {15, 0.9}}, 3), 0.02);
  REQUIRE(found.size() == 2);
  CHECK(found[0].at == 15);
  CHECK(found[1].at == 30);
  CHECK(found[1].before == Approx(1.1).epsilon(0.01));
  CHECK(test.find(levels({{15, 1.0}, {15, 1.015}}, 4), 0.0).size() == 1);
  CHECK(test.find(levels({{15, 1.0}, {15, 1.015}}, 4), 0.02).empty());
}

TEST_CASE("one or two odd results are no change, and too few cannot be one") {
  ChangePointTest test(0.01);
  CHECK(test.find(levels({{20, 1.0}, {2, 1.5}}, 5), 0.02).empty());
  CHECK(test.find(levels({{10, 1.0}, {1, 1.5}, {10, 1.0}}, 6), 0.02).empty());
  const std::size_t least = test.least_values();
  CHECK(least == 10);  // 2 of (10 choose 5) = 252 orders
  CHECK(test.find(levels({{2, 1.0}, {3, 1.5}}, 7), 0.02).empty());
}

TEST_CASE("a chance is that of permutations: one series in twenty has a change, where that is allowed") {
  ChangePointTest test(0.05);
  int alarms = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) alarms += !test.find(levels({{20, 1.0}}, seed), 0.0).empty();
  CHECK(alarms >= 25);
  CHECK(alarms <= 75);
}

TEST_CASE("results go together by name, config, trace and device, and say when they were slowed") {
  History history = history_of(12, 5, 1.05, 1);
  History other = history_of(12, 5, 1.0, 1);
  CHECK_FALSE(slowed_lately(other.analyse({})));
  const auto experiments = history.analyse({});
  REQUIRE(experiments.size() == 1);
  CHECK(experiments[0].commits.front() == "c1");
  CHECK(experiments[0].commits.size() == 17);
  CHECK(experiments[0].series.size() == 7);
  CHECK(slowed_lately(experiments));
  for (const HistorySeries& series : experiments[0].series) {
    CHECK(series.key.yardstick == "cublas_uniform");
    CHECK(series.changes.size() == (series.key.label == "nearest" ? 1 : 0));
    if (series.key.label == "nearest") CHECK(series.changes.at(0).at == 12);
  }
  json line = json::parse(line_of({}, 40));
  CHECK(history.has(line_of({}, 1)));
  CHECK_FALSE(history.has(line.dump()));
  for (const char* key : {"config_hash", "device", "trace", "experiment"}) {
    json changed = line;
    changed[key] = "another";
    history.add(changed.dump(), "h");
  }
  CHECK(history.analyse({}).size() == 5);
}

TEST_CASE("a slow-down of long ago, or one that was mended, is no alarm") {
  CHECK_FALSE(slowed_lately(history_of(12, 12, 1.05, 1).analyse({})));
  History mended = history_of(12, 8, 1.10, 1);
  for (std::uint64_t seed = 50; seed < 58; ++seed) mended.add(line_of({}, seed), "h");
  CHECK_FALSE(slowed_lately(mended.analyse({})));
}

TEST_CASE("what is no history is refused, and what has no times has no line") {
  History history;
  CHECK_THROWS_AS(history.add("{}", "h (line 1)"), ConfigError);
  CHECK_THROWS_AS(history.add("nonsense", "h (line 1)"), ConfigError);
  json line = json::parse(line_of({}, 1));
  line["times"][0].erase("quotient");
  CHECK_THROWS_WITH(history.add(line.dump(), "h (line 3)"), Catch::StartsWith("h (line 3): has a time that is none"));
  json result = {{"tool", {{"git", "c"}}}};
  const ResultExperiment run = simulate({}, 1)[0];
  result["environment"] = run.environment;
  result["experiments"] = json::array({run.experiment});
  for (json& strategy : result["experiments"][0]["strategies"]) strategy["timing"] = nullptr;
  CHECK(history_line(result, "").empty());
}

TEST_CASE("100 histories of 30 results raise no more alarms than allowed, and 5 % is found") {
  const HistoryRates rates = measure(100, 5, 20, 1.05);
  CHECK(rates.false_alarms <= 5);
  CHECK(rates.found >= 95);
  CHECK(rates.far <= 5);
}

TEST_CASE("rates of 1000 histories", "[.rates]") {
  for (const auto& [after, rounds, factor] :
       {std::tuple{3, 20, 1.05}, {4, 20, 1.05}, {5, 20, 1.05}, {10, 20, 1.05}, {5, 10, 1.05}, {10, 20, 1.03}}) {
    const HistoryRates rates = measure(1000, after, rounds, factor);
    std::printf(
        "30 results, %2d samples: false alarms %4.1f %%; %g %% slower in the last %2d found %5.1f %%, of them "
        "misplaced by "
        "more than one %4.1f %%, wrongly blamed %4.1f %%\n",
        rounds, rates.false_alarms / 10.0, 100 * (factor - 1), after, rates.found / 10.0,
        100.0 * rates.far / std::max(rates.found, 1), rates.wrongly / 10.0);
    std::fflush(stdout);
    CHECK(rates.false_alarms <= 60);
  }
}
