#include "source/groups.hpp"

#include <numeric>

#include "core/error.hpp"

namespace tatr {

std::int64_t group_count(const std::string& path, const Batches& batches, std::int64_t there) {
  const std::int64_t count = batches.count.value_or(there);
  if (count > there) {
    throw InputError(path, std::to_string(count) + " groups are asked for by router.batches; allowed: at most " +
                               std::to_string(there) + ", what the file holds");
  }
  if (count > kMostGroups) {
    throw InputError(path, "holds " + std::to_string(there) + " groups; allowed: at most " +
                               std::to_string(kMostGroups) + "; \"count\" in router.batches takes the first of them");
  }
  return count;
}

std::vector<RowRange> groups_of_tokens(const GroupingRequest& request) {
  const auto& [path, tokens, batches, all, steps] = request;
  if (!batches) return {{0, tokens == 0 ? all : tokens}};
  std::vector<RowRange> groups;
  if (tokens == 0) {
    if (steps.empty()) {
      throw InputError(path,
                       "does not tell where steps begin (behind first_token they are not known); router.batches needs "
                       "\"tokens\", the tokens of each group");
    }
    const std::int64_t count = group_count(path, *batches, static_cast<std::int64_t>(steps.size()));
    std::int64_t first = 0;
    for (std::int64_t g = 0; g < count; ++g) {
      groups.push_back({first, steps[static_cast<std::size_t>(g)]});
      first += groups.back().count;
    }
    return groups;
  }
  if (tokens > all) {
    throw InputError(path, "holds " + std::to_string(all) +
                               " tokens; allowed for the tokens of a group: at most as many, not " +
                               std::to_string(tokens));
  }
  const std::int64_t count = group_count(path, *batches, all / tokens);
  for (std::int64_t g = 0; g < count; ++g) groups.push_back({g * tokens, tokens});
  return groups;
}

}  // namespace tatr
