#include "analysis/change_points.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/philox.hpp"
#include "core/statistics.hpp"

namespace tatr {
namespace {

/// From 1; those of equal values are the mean of theirs.
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
    for (std::size_t i = first; i < last; ++i) ranks[order[i]] = 0.5 * static_cast<double>(first + last + 1);
  }
  return ranks;
}

/// The greatest of all splits: how far the sum of the first ranks is from what it is without a change, in its standard
/// deviations.
double best_split(const std::vector<double>& ranks) {
  const auto n = static_cast<double>(ranks.size());
  double best = 0;
  double sum = 0;
  for (std::size_t k = 1; k + ChangePointTest::kLeastStretch <= ranks.size(); ++k) {
    sum += ranks[k - 1];
    if (k < ChangePointTest::kLeastStretch) continue;
    const auto first = static_cast<double>(k);
    const double deviation = std::sqrt(first * (n - first) * (n + 1) / 12);
    best = std::max(best, std::abs(sum - first * (n + 1) / 2) / deviation);
  }
  return best;
}

/// Of `count` ranks in random orders, which are always the same.
std::vector<double> permuted_statistics(std::size_t count, std::size_t permutations) {
  std::vector<double> ranks(count), statistics;
  std::iota(ranks.begin(), ranks.end(), 1.0);
  for (std::size_t i = 0; i < permutations; ++i) {
    for (std::size_t left = count; left > 1; --left) {
      const std::uint64_t bits =
          random_bits(count, Stream::kPermutation, static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(i));
      std::swap(ranks[left - 1], ranks[bits * left >> 32U]);
    }
    statistics.push_back(best_split(ranks));
  }
  std::sort(statistics.begin(), statistics.end());
  return statistics;
}

double median_of(const std::vector<double>& values, std::size_t begin, std::size_t end) {
  const auto at = [&](std::size_t place) { return values.begin() + static_cast<std::ptrdiff_t>(place); };
  return quantile({at(begin), at(end)}, 0.5);
}

/// Where two levels fit a stretch best: the least distance of all values to the median of their side. Ranks tell that
/// there is a step; of a great one, values tell better where.
std::size_t place_of_step(const std::vector<double>& values, std::size_t begin, std::size_t end) {
  constexpr std::size_t kLeast = ChangePointTest::kLeastStretch;
  const auto distance = [&](std::size_t first, std::size_t last) {
    const double median = median_of(values, first, last);
    double sum = 0;
    for (std::size_t i = first; i < last; ++i) sum += std::abs(values[i] - median);
    return sum;
  };
  std::pair<double, std::size_t> best{std::numeric_limits<double>::infinity(), begin};
  for (std::size_t at = begin + kLeast; at + kLeast <= end; ++at) {
    best = std::min(best, {distance(begin, at) + distance(at, end), at});
  }
  return best.second;
}

}  // namespace

ChangePointTest::ChangePointTest(double false_alarm) : false_alarm_(false_alarm) {}

double ChangePointTest::chance_of(double statistic, std::size_t count) {
  std::vector<double>& permuted = permuted_[count];
  if (permuted.empty()) {
    // Enough that a chance of `false_alarm` is that of many permutations.
    const double wanted = std::clamp(100 / std::max(false_alarm_, 1e-9), 2000.0, 100000.0);
    permuted = permuted_statistics(count, static_cast<std::size_t>(wanted));
  }
  const auto as_great = permuted.end() - std::lower_bound(permuted.begin(), permuted.end(), statistic - 1e-9);
  return (1.0 + static_cast<double>(as_great)) / (1.0 + static_cast<double>(permuted.size()));
}

void ChangePointTest::split(const std::vector<double>& values, std::size_t begin, std::size_t end,
                            std::vector<ChangePoint>& found) {
  if (end - begin < 2 * kLeastStretch) return;
  const auto at = [&](std::size_t place) { return values.begin() + static_cast<std::ptrdiff_t>(place); };
  const double chance = chance_of(best_split(ranks_of({at(begin), at(end)})), end - begin);
  if (chance > false_alarm_) return;
  const std::size_t step = place_of_step(values, begin, end);
  split(values, begin, step, found);
  found.push_back({step, 0, 0, chance});
  split(values, step, end, found);
}

std::vector<ChangePoint> ChangePointTest::find(const std::vector<double>& values, double margin) {
  std::vector<ChangePoint> found;
  split(values, 0, values.size(), found);
  // Levels are those between the steps that count: what is left out joins its neighbour.
  for (std::size_t i = 0; i < found.size();) {
    const std::size_t begin = i == 0 ? 0 : found[i - 1].at,
                      end = i + 1 < found.size() ? found[i + 1].at : values.size();
    found[i].before = median_of(values, begin, found[i].at);
    found[i].after = median_of(values, found[i].at, end);
    if (std::abs(std::log(found[i].after / found[i].before)) > std::log(1 + margin)) {
      ++i;
    } else {
      found.erase(found.begin() + static_cast<std::ptrdiff_t>(i));
      if (i > 0) --i;
    }
  }
  return found;
}

std::size_t ChangePointTest::least_values() const {
  // A step in the middle is one of 2 in (n choose n/2) orders of high and low.
  double orders = 20;
  std::size_t n = 2 * kLeastStretch;
  while (2 / orders > false_alarm_ && n < 1000) {
    ++n;
    const std::size_t half = n / 2;
    orders *= static_cast<double>(n) / static_cast<double>(n - half);
  }
  return n;
}

}  // namespace tatr
