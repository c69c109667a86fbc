#include "core/statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "core/exact_math.hpp"

namespace tatr {

double quantile(std::vector<double> samples, double p) {
  if (samples.empty()) throw std::logic_error("quantile of no samples");
  std::sort(samples.begin(), samples.end());
  const double place = p * static_cast<double>(samples.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, samples.size() - 1);
  return samples[below] + (place - static_cast<double>(below)) * (samples[above] - samples[below]);
}

Interval median_interval(std::vector<double> samples) {
  Interval interval;
  interval.value = quantile(samples, 0.5);
  std::sort(samples.begin(), samples.end());
  const std::size_t n = samples.size();
  // The number of samples below the true median is binomial(n, 1/2). Take the largest rank whose tail stays within 2.5
  // %.
  // In logarithms: 0.5^n is below the least double from n = 1075 on.
  double log_term = static_cast<double>(n) * std::log(0.5), tail = std::exp(log_term);
  std::size_t rank = 0;
  while (rank + 1 < n / 2) {
    log_term += std::log(static_cast<double>(n - rank) / static_cast<double>(rank + 1));
    if (tail + std::exp(log_term) > 0.025) break;
    tail += std::exp(log_term);
    ++rank;
  }
  interval.low = samples[rank];
  interval.high = samples[n - 1 - rank];
  return interval;
}

namespace {

/// The 97.5 % quantile of Student's t. Beyond the table, the first terms of its expansion in 1 / freedom (Abramowitz
/// and Stegun 26.7.5), true to 0.1 % there.
double student_t(std::size_t freedom) {
  constexpr std::array kTable = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  if (freedom <= kTable.size()) return kTable[freedom - 1];
  constexpr double kNormal = 1.959964;
  const auto n = static_cast<double>(freedom);
  const double cube = kNormal * kNormal * kNormal;
  return kNormal + (cube + kNormal) / (4 * n) + (5 * cube * kNormal * kNormal + 16 * cube + 3 * kNormal) / (96 * n * n);
}

}  // namespace

Interval mean_interval(const std::vector<double>& samples) {
  if (samples.size() < 2) throw std::logic_error("mean_interval needs two samples");
  const auto n = static_cast<double>(samples.size());
  double sum = 0.0, square = 0.0;
  for (const double sample : samples) sum += sample;
  const double mean = sum / n;
  for (const double sample : samples) square += (sample - mean) * (sample - mean);
  const double half = student_t(samples.size() - 1) * std::sqrt(square / (n - 1) / n);
  return {mean, mean - half, mean + half};
}

Interval paired_ratio(const std::vector<double>& base, const std::vector<double>& changed) {
  if (base.empty() || base.size() != changed.size()) throw std::logic_error("paired_ratio needs equally long series");
  std::vector<double> ratios;
  for (std::size_t i = 0; i < base.size(); ++i) ratios.push_back(base[i] / changed[i]);
  return median_interval(std::move(ratios));
}

namespace {

/// The ratio that has `rank` of all ratios changed/base below it (from 0). Both sorted and positive. Bisection on the
/// number of pairs below a ratio: nothing of size n m is kept.
double ranked_ratio(const std::vector<double>& base, const std::vector<double>& changed, std::size_t rank) {
  double low = changed.front() / base.back(), high = changed.back() / base.front();
  const auto pairs_up_to = [&](double ratio) {
    std::size_t count = 0, j = 0;
    for (const double b : base) {
      while (j < changed.size() && changed[j] <= ratio * b) ++j;
      count += j;
    }
    return count;
  };
  for (int step = 0; step < 60; ++step) {
    const double middle = 0.5 * (low + high);
    (pairs_up_to(middle) > rank ? high : low) = middle;
  }
  return high;
}

}  // namespace

Interval independent_ratio(std::vector<double> base, std::vector<double> changed, double confidence) {
  if (base.empty() || changed.empty()) throw std::logic_error("independent_ratio of no samples");
  std::sort(base.begin(), base.end());
  std::sort(changed.begin(), changed.end());
  const auto n = static_cast<double>(base.size()), m = static_cast<double>(changed.size());
  const double tail = std::clamp(0.5 * (1 - confidence), 1e-7, 0.5);
  const double deviations = -normal_quantile(static_cast<float>(tail));
  const double rank = std::floor(n * m / 2 - deviations * std::sqrt(n * m * (n + m + 1) / 12)) - 1;
  const auto below = static_cast<std::size_t>(std::max(rank, 0.0));
  const std::size_t pairs = base.size() * changed.size();
  Interval interval;
  interval.value = 0.5 * (ranked_ratio(base, changed, (pairs - 1) / 2) + ranked_ratio(base, changed, pairs / 2));
  interval.low = ranked_ratio(base, changed, below);
  interval.high = ranked_ratio(base, changed, pairs - 1 - below);
  return interval;
}

std::size_t count_outliers(const std::vector<double>& samples) {
  constexpr std::size_t kWindow = 5;
  constexpr double kLeastDeviation = 0.05, kDeviations = 5.0, kNormalMad = 1.4826;
  const std::size_t n = samples.size();
  if (n < kWindow) return 0;
  std::vector<double> deviations;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t first = std::min(i - std::min(i, kWindow / 2), n - kWindow);
    const auto begin = samples.begin() + static_cast<std::ptrdiff_t>(first);
    const double middle = quantile({begin, begin + kWindow}, 0.5);
    deviations.push_back(middle > 0 ? std::abs(samples[i] / middle - 1) : 0.0);
  }
  const double allowed = std::max(kLeastDeviation, kDeviations * kNormalMad * quantile(deviations, 0.5));
  return static_cast<std::size_t>(
      std::count_if(deviations.begin(), deviations.end(), [&](double deviation) { return deviation > allowed; }));
}

}  // namespace tatr
