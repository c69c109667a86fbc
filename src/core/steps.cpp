#include "core/steps.hpp"

#include <fmt/format.h>

#include <cmath>

namespace tatr {

std::string about(double seconds) {
  if (seconds < 100.0) return fmt::format("about {:.0f} s", seconds);
  if (seconds < 100.0 * 60.0) return fmt::format("about {:.0f} min", seconds / 60.0);
  return fmt::format("about {:.1f} h", seconds / 3600.0);
}

std::string time_left_words(double seconds) { return about(std::ceil(seconds)) + " left"; }

std::string Steps::left() const {
  constexpr double kEnoughSeconds = 2.0;
  if (begun_ < 2 || begun_ > total_) return {};
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (seconds < kEnoughSeconds) return {};
  const std::size_t done = begun_ - 1;
  return time_left_words(seconds / static_cast<double>(done) * static_cast<double>(total_ - done));
}

std::string Steps::words() const {
  if (total_ < 2 || begun_ == 0 || begun_ > total_) return {};
  const std::string time = left();
  return fmt::format("{} of {}{}{}: ", begun_, total_, time.empty() ? "" : ", ", time);
}

}  // namespace tatr
