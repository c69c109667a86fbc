// How work grows with its size, by the processor time that it takes: what others do on the machine counts little.
#pragma once

#include <algorithm>
#include <ctime>
#include <functional>
#include <string>

namespace tatr::test {

inline double cpu_seconds(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

/// Empty where eight times the size takes at most 24 times as long: linear work takes 8 times, quadratic 64. A machine
/// that is busy may need more than one try. `work_of(size)` prepares the work, which is not counted, and returns it.
inline std::string more_than_linear(std::size_t size,
                                    const std::function<std::function<void()>(std::size_t)>& work_of) {
  constexpr double kMost = 24, kLeastSeconds = 1e-3;  // less is the clock's own grain
  const std::function<void()> small = work_of(size), large = work_of(8 * size);
  double least = 0;
  for (int attempt = 0; attempt < 4; ++attempt) {
    const double one = std::max({cpu_seconds(small), kLeastSeconds});
    const double ratio = cpu_seconds(large) / one;
    if (ratio <= kMost) return {};
    least = attempt == 0 ? ratio : std::min(least, ratio);
  }
  return "8 times " + std::to_string(size) + " take " + std::to_string(least) + " times as long";
}

}  // namespace tatr::test
