#include "analysis/gain.hpp"

#include <algorithm>

#include "analysis/network.hpp"
#include "model/modelled_device.hpp"

namespace tatr {
namespace {

bool at_one_tile(const NetworkRecord& a, const NetworkRecord& b) {
  return !a.own_tiles && !b.own_tiles && a.tile == b.tile;
}

const LayerTiming& timing_of(const ExperimentRecord& experiment, std::size_t place) {
  return *experiment.strategies[place].timing;
}

}  // namespace

std::vector<double> summed_samples(const ExperimentRecord& experiment, const NetworkRecord& network, std::size_t count,
                                   Rounding rounding) {
  std::vector<double> sums(count);
  for (const std::size_t place : network.layers) {
    const LayerTiming& timing = timing_of(experiment, place);
    for (std::size_t i = 0; i < count; ++i) {
      sums[i] += timing.layer_ms.samples[i];
      if (rounding == Rounding::kIncluded) sums[i] += timing.round_us.samples[i] / 1000;
    }
  }
  return sums;
}

std::size_t fewest_samples(const ExperimentRecord& experiment, const NetworkRecord& network, Rounding rounding) {
  std::size_t fewest = timing_of(experiment, network.layers.front()).layer_ms.samples.size();
  for (const std::size_t place : network.layers) {
    const LayerTiming& timing = timing_of(experiment, place);
    fewest = std::min(fewest, timing.layer_ms.samples.size());
    if (rounding == Rounding::kIncluded) fewest = std::min(fewest, timing.round_us.samples.size());
  }
  return fewest;
}

double milliseconds_of(const ExperimentRecord& experiment, const NetworkRecord& network, Rounding rounding) {
  double sum = *network.layer_ms;
  if (rounding == Rounding::kLeftOut) return sum;
  for (const std::size_t place : network.layers) {
    sum += median_of(timing_of(experiment, place).round_us).value_or(0) / 1000;
  }
  return sum;
}

Interval gain_over(const ExperimentRecord& experiment, const NetworkRecord& base, const NetworkRecord& network,
                   Rounding rounding) {
  const double ratio = milliseconds_of(experiment, base, rounding) / milliseconds_of(experiment, network, rounding);
  if (&base == &network) return {ratio, ratio, ratio};
  if (network.timing_kind == TimingKind::kModelled) {
    return interval_of(ratio, experiment.model ? experiment.model->error.of_ratio(at_one_tile(base, network)) : 0);
  }
  const std::size_t count =
      std::min(fewest_samples(experiment, base, rounding), fewest_samples(experiment, network, rounding));
  if (count == 0) return {ratio, ratio, ratio};
  return paired_ratio(summed_samples(experiment, base, count, rounding),
                      summed_samples(experiment, network, count, rounding));
}

}  // namespace tatr
