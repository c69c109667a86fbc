// One line on stderr that tells what a long run is doing: only on a terminal, and only once a second has passed.
#pragma once

#include <chrono>
#include <string>

namespace tatr {

class Progress {
 public:
  Progress();
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const std::string& doing);
  void clear();

 private:
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace tatr
