// Where the level of a series changes: decides by ranks alone, so that its rate of false alarms holds for noise of any
// distribution. Knows nothing of what the values are.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

namespace tatr {

struct ChangePoint {
  std::size_t at = 0;            // the first value of the new level
  double before = 0, after = 0;  // medians of the levels on both sides
  double chance = 0;             // of noise alone to look as much like a change, at any place of its stretch
};

/// Splits a series at the place where the ranks before and after differ most (the greatest Mann-Whitney statistic of
/// all splits, as Pettitt 1979), where this is unlikely among permutations of the series, and then both parts in the
/// same way (binary segmentation). Of values that could as well stand in any other order, a change is found with the
/// probability `false_alarm` at most. What was slower for a while, and then as before, may leave no mark: ranks of both
/// sides of any one split are then much alike.
class ChangePointTest {
 public:
  static constexpr std::size_t kLeastStretch = 3;  // fewer values are no level

  explicit ChangePointTest(double false_alarm);

  /// Rising by place. Steps of less than the share `margin` are left out. Values are positive.
  std::vector<ChangePoint> find(const std::vector<double>& values, double margin);

  /// So many values can show a change: with fewer, even a step in their middle is not unlikely enough.
  std::size_t least_values() const;

 private:
  void split(const std::vector<double>& values, std::size_t begin, std::size_t end, std::vector<ChangePoint>& found);
  double chance_of(double statistic, std::size_t count);

  double false_alarm_;
  std::map<std::size_t, std::vector<double>> permuted_;  // statistics of permutations by length, rising
};

}  // namespace tatr
