// Where a record's tokens are cut into groups. Decides what a config's batches mean for so many tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "options/options.hpp"
#include "source/trace.hpp"

namespace tatr {

inline constexpr std::int64_t kMostGroups = 1024;

struct GroupingRequest {
  const std::string& path;  // for errors
  std::int64_t tokens = 0;  // of a group, as the config says; 0: it does not
  const std::optional<Batches>& batches;
  std::int64_t all_tokens = 0;             // that there are
  const std::vector<std::int64_t>& steps;  // tokens of each; empty: not known
};

/// Rows of each group, one after the other; at least one. Without batches, one of `tokens` rows, or of all. Throws
/// InputError where there are fewer tokens than asked for, or where it is not known how many make a group.
std::vector<RowRange> groups_of_tokens(const GroupingRequest& request);

/// How many of `there` groups are taken. Throws InputError where too few or too many are there.
std::int64_t group_count(const std::string& path, const Batches& batches, std::int64_t there);

}  // namespace tatr
