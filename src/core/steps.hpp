// How far long work has come: steps of like work, and the time that those left will take if they are like those done.
// Knows nothing of the work, and prints nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

namespace tatr {

/// "about 30 s", in minutes from 100 s on, in hours from 100 minutes on.
std::string about(double seconds);

/// "about 30 s left", likewise.
std::string time_left_words(double seconds);

class Steps {
 public:
  explicit Steps(std::size_t total) : total_(total), start_(std::chrono::steady_clock::now()) {}

  /// The next step begins; all before it are done.
  void next() { ++begun_; }

  /// "about 12 s left" once a step is done and two seconds have passed; before that, and after the last step, empty.
  std::string left() const;

  /// "3 of 26, about 12 s left: "; of one step only, empty.
  std::string words() const;

 private:
  std::size_t total_, begun_ = 0;
  std::chrono::steady_clock::time_point start_;
};

/// What is being done, for errors and users, and before it how far it has come, for users alone.
struct Doing {
  Doing(std::string doing) : what(std::move(doing)) {}  // NOLINT(google-explicit-constructor)
  Doing(const char* doing) : what(doing) {}             // NOLINT(google-explicit-constructor)
  Doing(std::string doing, std::string far) : what(std::move(doing)), steps(std::move(far)) {}
  std::string what, steps;
};

}  // namespace tatr
