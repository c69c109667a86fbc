// The shape of a list of lists while its brackets and numbers come by. Decides what is rectangular; knows nothing of
// the text, nor of the numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tatr {

class NestedList {
 public:
  explicit NestedList(std::size_t most_levels) : most_levels_(most_levels) {}

  void clear();

  /// Each says what is wrong with what comes, "FOUND; allowed: …"; empty: nothing.
  std::string open();
  std::string number();
  std::string close();

  bool is_open() const { return !counts_.empty(); }
  std::size_t levels() const { return counts_.size(); }              // of open lists
  std::int64_t count() const { return counts_.back(); }              // of what is in the innermost so far
  const std::vector<std::int64_t>& shape() const { return shape_; }  // once all is closed

  /// "/3/0": where the next number or list would be.
  std::string pointer() const;

 private:
  const std::size_t most_levels_;
  std::size_t number_level_ = 0;  // of the lists that hold numbers; 0: none seen yet
  std::vector<std::int64_t> counts_;
  std::vector<std::int64_t> shape_;  // of each level that was open; -1: no list of it has ended
};

}  // namespace tatr
