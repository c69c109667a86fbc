// Medians, quartiles and ratios of samples, with intervals that assume nothing about their distribution.
#pragma once

#include <cstddef>
#include <vector>

namespace tatr {

/// The p-quantile (0 … 1) by linear interpolation between order statistics. `samples` must not be empty.
double quantile(std::vector<double> samples, double p);

struct Interval {
  double value = 0, low = 0, high = 0;
};

/// Median with a 95 % interval from order statistics (binomial ranks; exact for independent samples of any
/// distribution). Fewer than 6 samples give the range of all.
Interval median_interval(std::vector<double> samples);

/// Mean of at least two independent samples with the 95 % interval of Student's t, which takes them for normal.
Interval mean_interval(const std::vector<double>& samples);

/// Ratio of two interleaved series, base over changed: the median of the ratios of pairs taken in the same round, so
/// that drift that hits a whole round cancels. Both must have the same, positive length.
Interval paired_ratio(const std::vector<double>& base, const std::vector<double>& changed);

/// Ratio of two independent samples of positive values, changed over base: the Hodges-Lehmann estimate (median of the
/// ratios of all pairs) with the interval that inverts the Mann-Whitney test, in its normal approximation
/// (Hollander, Wolfe, Chicken, "Nonparametric Statistical Methods", 4.2-4.3). One wild sample in four does not move it
/// far. Neither may be empty.
Interval independent_ratio(std::vector<double> base, std::vector<double> changed, double confidence = 0.95);

/// Samples that stand out from their neighbours in time: further from the median of the five around them than five
/// standard deviations (from the median absolute deviation) and 5 %. Slow drift is none. Fewer than 5 samples: 0.
std::size_t count_outliers(const std::vector<double>& samples);

}  // namespace tatr
