#include "formats/nested_list.hpp"

namespace tatr {

void NestedList::clear() {
  number_level_ = 0;
  counts_.clear();
  shape_.clear();
}

std::string NestedList::open() {
  if (number_level_ != 0 && counts_.size() >= number_level_) return "a list among numbers; allowed: numbers";
  if (counts_.size() == most_levels_) {
    return "a list within " + std::to_string(most_levels_) + " others; allowed: at most " +
           std::to_string(most_levels_) + " in each other";
  }
  if (!counts_.empty()) ++counts_.back();
  counts_.push_back(0);
  if (shape_.size() < counts_.size()) shape_.push_back(-1);
  return {};
}

std::string NestedList::number() {
  if (number_level_ == 0 && shape_.size() == counts_.size()) number_level_ = counts_.size();
  if (number_level_ != counts_.size()) return "a number among lists; allowed: lists";
  ++counts_.back();
  return {};
}

std::string NestedList::close() {
  const std::int64_t count = counts_.back();
  counts_.pop_back();
  std::int64_t& dimension = shape_[counts_.size()];
  if (dimension < 0) dimension = count;
  if (dimension == count) return {};
  if (!counts_.empty()) --counts_.back();  // so that pointer() is this list's
  return "a list of " + std::to_string(count) + "; allowed: " + std::to_string(dimension) + ", as in those before it";
}

std::string NestedList::pointer() const {
  std::string result;
  for (std::size_t level = 0; level < counts_.size(); ++level) {
    // A list that is open is counted already.
    result += "/" + std::to_string(counts_[level] - (level + 1 < counts_.size() ? 1 : 0));
  }
  return result;
}

}  // namespace tatr
