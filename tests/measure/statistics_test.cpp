#include "measure/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "core/exact_math.hpp"
#include "core/philox.hpp"

using namespace tatr;

namespace {

double normal(std::uint32_t i, std::uint32_t series) {
  return normal_from_bits(random_bits(11, Stream::kTensor, i, series));
}

}  // namespace

TEST_CASE("quantiles interpolate between order statistics") {
  CHECK(quantile({3, 1, 2}, 0.5) == 2);
  CHECK(quantile({4, 1, 2, 3}, 0.5) == 2.5);
  CHECK(quantile({1, 2, 3, 4, 5}, 0.25) == 2);
  CHECK(quantile({7}, 0.75) == 7);
  CHECK_THROWS(quantile({}, 0.5));
}

TEST_CASE("the median's interval uses binomial ranks") {
  std::vector<double> samples;
  for (int i = 1; i <= 10; ++i) samples.push_back(i);
  const Interval ten = median_interval(samples);  // P(fewer than 2 of 10 below the median) = 1.07 %: ranks 2 and 9
  CHECK(ten.value == 5.5);
  CHECK(ten.low == 2);
  CHECK(ten.high == 9);
  samples.resize(5);
  CHECK(median_interval(samples).low == 1);
}

TEST_CASE("the median's interval stays as wide as it must be with very many samples") {
  for (const int n : {1000, 1076, 10000}) {
    std::vector<double> samples;
    for (int i = 0; i < n; ++i) samples.push_back(i);
    const Interval interval = median_interval(samples);
    CHECK((interval.high - interval.low) / n == Approx(1.96 / std::sqrt(n)).epsilon(0.06));
  }
}

TEST_CASE("95 % intervals of the median hold the truth about 95 times in 100") {
  int held = 0;
  for (std::uint32_t trial = 0; trial < 400; ++trial) {
    std::vector<double> samples;
    for (std::uint32_t i = 0; i < 20; ++i) samples.push_back(normal(i, trial));
    const Interval interval = median_interval(samples);
    held += interval.low <= 0 && interval.high >= 0;
  }
  CHECK(held >= 372);
}

TEST_CASE("drift that hits a whole round cancels in paired ratios") {
  std::vector<double> base, changed;
  for (std::uint32_t round = 0; round < 20; ++round) {
    const double drift = 1.0 + 0.15 * std::sin(round * 0.7);
    base.push_back(2.0 * drift * (1 + 0.002 * normal(round, 1)));
    changed.push_back(1.6 * drift * (1 + 0.002 * normal(round, 2)));
  }
  const Interval ratio = paired_ratio(base, changed);
  CHECK(ratio.value == Approx(1.25).epsilon(0.003));
  CHECK(ratio.high - ratio.low < 0.01);
  CHECK(ratio.low <= 1.25);
  CHECK(ratio.high >= 1.25);
  CHECK_THROWS(paired_ratio({1, 2}, {1}));
}
