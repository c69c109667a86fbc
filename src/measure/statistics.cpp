#include "measure/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

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

Interval paired_ratio(const std::vector<double>& base, const std::vector<double>& changed) {
  if (base.empty() || base.size() != changed.size()) throw std::logic_error("paired_ratio needs equally long series");
  std::vector<double> ratios;
  for (std::size_t i = 0; i < base.size(); ++i) ratios.push_back(base[i] / changed[i]);
  return median_interval(std::move(ratios));
}

}  // namespace tatr
