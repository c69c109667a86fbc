// Results of runs that never were: seven strategies on a machine whose clock drifts, with noise and outliers.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/exact_math.hpp"
#include "core/philox.hpp"
#include "records/result_file.hpp"
#include "records/result_writer.hpp"
#include "sample_run.hpp"

namespace tatr::test {

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : seed_(seed) {}
  double uniform(double low, double high) { return low + (high - low) * (bits() + 0.5) / 4294967296.0; }
  double normal() { return normal_from_bits(bits()); }

 private:
  std::uint32_t bits() { return random_bits(seed_, Stream::kTensor, next_++, 0); }
  std::uint64_t seed_;
  std::uint32_t next_ = 0;
};

struct SimulatedRun {
  int rounds = 20;
  bool has_uniform = true;         // else only `none` is there to divide by
  std::string slowed = "nearest";  // a strategy whose kernels take `factor` times as long
  double factor = 1.0;
};

/// One experiment, sampled as the program does: in each round, routing, then for each strategy its rounding, its layer
/// and the yardstick. What the clock paces (the GEMMs and the yardstick) drifts by 5 to 15 % over the run; what memory
/// paces (combine, routing, rounding) does not. Each sample has a noise of its own, 0.5 to 1 % (rounding: 6 %, as short
/// kernels have); one in 33 takes up to half as long again; and each run has every strategy off by 0.2 %.
inline std::vector<ResultExperiment> simulate(const SimulatedRun& how, std::uint64_t seed) {
  constexpr int kStrategies = 7;
  const char* labels[kStrategies] = {"none", "down", "up", "adaptive", "nearest", "budget", "half"};
  const double scale[kStrategies] = {1.0, 0.78, 0.99, 0.82, 0.88, 0.88, 0.83};
  Draws draws(seed);
  const double noise = draws.uniform(0.005, 0.01), drift = draws.uniform(0.05, 0.15);
  const double period = draws.uniform(10, 60), phase = draws.uniform(0, 6.2832);
  // From its fastest to its slowest the machine loses `drift`.
  const auto clock = [&](double round) { return 1 + 0.5 * drift * std::sin(phase + 6.2832 * round / period); };
  const auto sample = [&](double ms, double deviation) {
    const double outlier = draws.uniform(0, 1) < 0.03 ? draws.uniform(1.05, 1.5) : 1.0;
    return ms * outlier * (1 + deviation * draws.normal());
  };
  std::vector<double> factor(kStrategies);
  for (int s = 0; s < kStrategies; ++s) {
    factor[s] = scale[s] * (1 + 0.002 * draws.normal()) * (how.slowed == labels[s] ? how.factor : 1.0);
  }
  std::vector<LayerTiming> timings(kStrategies);
  for (int round = 0; round < how.rounds; ++round) {
    const double route_us = sample(66, 0.06);
    for (int s = 0; s < kStrategies; ++s) {
      LayerTiming& timing = timings[s];
      const double paced = clock(round + static_cast<double>(s) / kStrategies);
      const double uniform_paced = clock(round + (s + 0.5) / kStrategies);
      timing.route_us.samples.push_back(route_us);
      timing.round_us.samples.push_back(sample(500, 0.06));
      timing.of(Stage::kGather).samples.push_back(0.002);
      timing.of(Stage::kActivation).samples.push_back(0.002);
      timing.of(Stage::kUp).samples.push_back(sample(4.1 * factor[s] * paced, noise));
      timing.of(Stage::kDown).samples.push_back(sample(1.9 * factor[s] * paced, noise));
      timing.of(Stage::kCombine).samples.push_back(sample(0.42 * factor[s], noise));
      timing.layer_ms.samples.push_back(timing.of(Stage::kUp).samples.back() + timing.of(Stage::kDown).samples.back() +
                                        timing.of(Stage::kCombine).samples.back());
      if (how.has_uniform) timing.uniform_samples_ms.push_back(sample(5.0 * scale[s] * uniform_paced, noise));
    }
  }
  ExperimentRecord record = experiment();
  record.strategies.clear();
  for (int s = 0; s < kStrategies; ++s) {
    StrategyRecord one = s == 0 ? plain_record() : down_record();
    one.strategy.label = labels[s];
    one.timing = timings[s];
    if (how.has_uniform) one.timing->uniform_ms = timings[s].uniform_samples_ms.front();
    record.strategies.push_back(one);
  }
  RunRecord run = run_of(record);
  run.environment.device = "NVIDIA H100 80GB HBM3";
  const auto document = nlohmann::json::parse(to_json(run).dump());
  return {{document["environment"], document["experiments"][0]}};
}

}  // namespace tatr::test
