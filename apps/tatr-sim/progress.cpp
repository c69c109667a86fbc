#include "progress.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <system_error>

#include "core/format.hpp"
#include "core/steps.hpp"
#include "output.hpp"

namespace tatr {

namespace {

std::string time_spent_words(double seconds) {
  if (seconds < 100.0) return fmt::format("{:.0f} s", seconds);
  return fmt::format("{:.0f} min", seconds / 60.0);
}

/// Signals are for the threads that there were before.
std::thread make_thread_without_signals(const std::function<void()>& body) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread made;
  try {
    made = std::thread(body);
  } catch (const std::system_error&) {  // no thread to be had: nothing is said
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return made;
}

}  // namespace

std::string progress_bar(std::size_t done, std::size_t total, double seconds) {
  constexpr std::size_t kWidth = 10;
  const std::size_t filled = total == 0 ? 0 : done * kWidth / total;
  std::string bar =
      fmt::format("[{:=<{}}{:<{}}] {} of {}", "", filled, filled < kWidth ? ">" : "", kWidth - filled, done, total);
  if (done == 0) return bar;
  return bar + ", " + time_left_words(seconds / static_cast<double>(done) * static_cast<double>(total - done));
}

double next_log_line(double seconds) {
  constexpr double kFirst = 20.0, kMinute = 60.0, kHour = 3600.0;
  if (seconds < kFirst) return kFirst;
  const double step = seconds < kHour ? kMinute : 10 * kMinute;
  return (static_cast<double>(static_cast<std::int64_t>(seconds / step)) + 1.0) * step;
}

Progress::Progress(bool quiet) : terminal_(isatty(STDERR_FILENO) == 1), start_(std::chrono::steady_clock::now()) {
  if (!quiet) thread_ = make_thread_without_signals([this] { run(); });
}

Progress::~Progress() {
  clear();
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Progress::set_total(std::size_t experiments) {
  const std::lock_guard lock(mutex_);
  total_ = experiments;
}

void Progress::finish_one() {
  const std::lock_guard lock(mutex_);
  ++done_;
}

void Progress::show(const std::string& doing) {
  const std::lock_guard lock(mutex_);
  doing_ = doing;
}

void Progress::clear() {
  const std::lock_guard lock(mutex_);
  doing_.clear();
  if (!shown_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
  shown_ = false;
}

void Progress::run() {
  std::unique_lock lock(mutex_);
  double due = terminal_ ? 1.0 : next_log_line(0.0);
  while (!ends_) {
    wake_.wait_until(lock, start_ + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                        std::chrono::duration<double>(due)));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (ends_ || seconds < due) continue;
    print();
    due = terminal_ ? seconds + 1.0 : next_log_line(seconds);
  }
}

void Progress::print() {
  if (doing_.empty()) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const std::string spent = time_spent_words(seconds);
  const std::string place = total_ > 1 ? progress_bar(done_, total_, seconds) : fmt::format("[{}]", spent);
  if (terminal_) {
    // A line that breaks could not be written anew.
    fmt::print(stderr, "\r\033[K{}", shorten(place + " " + doing_, std::max<std::size_t>(width_of(stderr), 20) - 1));
    shown_ = true;
  } else if (total_ > 1) {
    fmt::print(stderr, "tatr-sim: {} so far: {} {}\n", spent, place, doing_);
  } else {
    fmt::print(stderr, "tatr-sim: {} so far: {}\n", spent, doing_);
  }
  std::fflush(stderr);
}

}  // namespace tatr
