#include "core/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

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

TEST_CASE("the mean's interval is that of Student's t, at every number of samples") {
  const Interval two = mean_interval({1, 3});  // t of one degree of freedom: 12.706; standard error 1
  CHECK(two.value == 2);
  CHECK(two.high == Approx(2 + 12.706));
  CHECK_THROWS(mean_interval({1}));
  // Quantiles from tables: 11, 30 and 120 degrees of freedom.
  for (const auto& [n, quantile] : {std::pair(12, 2.2010), std::pair(31, 2.0423), std::pair(121, 1.9799)}) {
    std::vector<double> samples;
    for (int i = 0; i < n; ++i) samples.push_back(i);
    const double deviation = std::sqrt(n * (n + 1.0) / 12);  // of 0 … n - 1, over n - 1
    const Interval interval = mean_interval(samples);
    CHECK(interval.value - interval.low == Approx(quantile * deviation / std::sqrt(n)).epsilon(0.002));
  }
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

TEST_CASE("the ratio of independent samples is the median over all pairs, with Mann-Whitney ranks") {
  // 25 ratios; by table the 95 % interval of 5 and 5 leaves out at most the 2 outermost at each end.
  const Interval small = independent_ratio({1, 1, 1, 1, 1}, {5, 1, 4, 2, 3});
  CHECK(small.value == Approx(3));
  CHECK(small.low == Approx(1));
  CHECK(small.high == Approx(5));
  CHECK(independent_ratio({2}, {3}).value == Approx(1.5));
  CHECK(independent_ratio({1, 2}, {2, 8}).value == Approx(3));  // 1, 2, 4, 8
  CHECK(independent_ratio({3, 3, 3}, {3, 3, 3}).low == Approx(1));
  CHECK_THROWS(independent_ratio({}, {1}));
}

TEST_CASE("95 % intervals of independent ratios hold the truth about 95 times in 100, outliers or not") {
  int held = 0, held_with_outliers = 0;
  for (std::uint32_t trial = 0; trial < 400; ++trial) {
    std::vector<double> base, changed;
    for (std::uint32_t i = 0; i < 15; ++i) base.push_back(1.0 + 0.01 * normal(i, 3 * trial));
    for (std::uint32_t i = 0; i < 20; ++i) changed.push_back(1.05 + 0.0105 * normal(i, 3 * trial + 1));
    const Interval clean = independent_ratio(base, changed);
    held += clean.low <= 1.05 && clean.high >= 1.05;
    base[3] = 2;
    changed[5] = 3;
    const Interval dirty = independent_ratio(base, changed);
    held_with_outliers += dirty.low <= 1.05 && dirty.high >= 1.05;
    CHECK(dirty.high - dirty.low < 0.03);
  }
  CHECK(held >= 370);
  CHECK(held <= 395);
  CHECK(held_with_outliers >= 365);
}

TEST_CASE("outliers stand out from their neighbours; drift and steps of the clock do not") {
  std::vector<double> samples;
  for (std::uint32_t i = 0; i < 40; ++i) samples.push_back((1 + 0.15 * std::sin(i * 0.1)) * (1 + 0.01 * normal(i, 7)));
  CHECK(count_outliers(samples) == 0);
  samples[0] *= 1.3;
  samples[20] *= 1.5;
  CHECK(count_outliers(samples) == 2);
  for (std::size_t i = 30; i < 40; ++i) samples[i] *= 1.2;
  CHECK(count_outliers(samples) == 2);
  CHECK(count_outliers({1, 9, 1}) == 0);
}
