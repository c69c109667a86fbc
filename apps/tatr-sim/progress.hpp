// One line on stderr that tells what a long run is doing and, of several experiments, how many are done and the time
// that is left: only on a terminal, and only once a second has passed.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "experiment/runner.hpp"

namespace tatr {

/// "[=====>    ] 37 of 200, about 12 min left"; before the first is done, no time. `seconds` have been spent on `done`.
std::string progress_bar(std::size_t done, std::size_t total, double seconds);

class Progress final : public RunWatcher {
 public:
  Progress();
  ~Progress() override { clear_line(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// How many experiments there will be; with fewer than two there is no bar.
  void set_total(std::size_t experiments) override { total_ = experiments; }
  void finish_one() override { ++done_; }
  void show(const std::string& doing) override;
  void clear() override { clear_line(); }

 private:
  void clear_line();

  bool terminal_;
  bool shown_ = false;
  std::size_t done_ = 0, total_ = 0;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace tatr
