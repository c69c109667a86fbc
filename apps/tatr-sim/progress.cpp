#include "progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "core/format.hpp"

namespace tatr {

std::string progress_bar(std::size_t done, std::size_t total, double seconds) {
  constexpr std::size_t kWidth = 10;
  const std::size_t filled = total == 0 ? 0 : done * kWidth / total;
  std::string bar =
      fmt::format("[{:=<{}}{:<{}}] {} of {}", "", filled, filled < kWidth ? ">" : "", kWidth - filled, done, total);
  if (done == 0) return bar;
  const double left = std::ceil(seconds / static_cast<double>(done) * static_cast<double>(total - done));
  if (left < 100.0) return bar + fmt::format(", about {:.0f} s left", left);
  if (left < 100.0 * 60.0) return bar + fmt::format(", about {:.0f} min left", left / 60.0);
  return bar + fmt::format(", about {:.1f} h left", left / 3600.0);
}

Progress::Progress() : terminal_(isatty(STDERR_FILENO) == 1), start_(std::chrono::steady_clock::now()) {}

void Progress::show(const std::string& doing) {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (!terminal_ || seconds < 1.0) return;
  const std::string place = total_ > 1 ? progress_bar(done_, total_, seconds) : fmt::format("[{:.0f} s]", seconds);
  fmt::print(stderr, "\r\033[K{}", shorten(place + " " + doing, kReportWidth - 1));
  std::fflush(stderr);
  shown_ = true;
}

void Progress::clear_line() {
  if (shown_) fmt::print(stderr, "\r\033[K");
  shown_ = false;
}

}  // namespace tatr
