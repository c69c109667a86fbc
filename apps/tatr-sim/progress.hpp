// Says on stderr what a long run is doing, how long it has done so and, where it can be told, the time that is left. On
// a terminal one line, written anew each second; elsewhere, as in a log, a line of its own, seldom. A thread of its own
// prints: whoever computes and measures only leaves word.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "experiment/runner.hpp"

namespace tatr {

/// "[=====>    ] 37 of 200, about 12 min left"; before the first is done, no time. `seconds` have been spent on `done`.
std::string progress_bar(std::size_t done, std::size_t total, double seconds);

/// When the next line is due in a log, `seconds` after the start: at 20 s, then each minute, and after an hour each
/// ten.
double next_log_line(double seconds);

class Progress final : public RunWatcher {
 public:
  explicit Progress(bool quiet);
  ~Progress() override;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// How many experiments there will be; with fewer than two there is no bar.
  void set_total(std::size_t experiments) override;
  void finish_one() override;
  void show(const std::string& doing) override;
  /// Makes room for other text; nothing is said until the next show().
  void clear() override;

 private:
  void run();
  void print();  // under the mutex

  bool terminal_;
  std::chrono::steady_clock::time_point start_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false, shown_ = false;
  std::string doing_;  // empty: nothing to say
  std::size_t done_ = 0, total_ = 0;
  std::thread thread_;  // none where nothing is to be said
};

}  // namespace tatr
