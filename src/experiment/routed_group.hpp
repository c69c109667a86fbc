// One group of tokens of one layer: what its source gave, routed and rounded by every setting. Decides what is routed
// where only counts are known: nothing, unless a layer is to be computed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiment/settings.hpp"
#include "rounding/rounding.hpp"
#include "source/routing_source.hpp"

namespace tatr {

struct RoutedGroup {
  ExperimentConfig config;  // with the tokens that the group has
  std::int64_t layer = 0, masked = 0;
  Known known = Known::kScores;
  std::optional<Routing> routing;            // of counts only where a layer is computed
  std::unique_ptr<RoundingScratch> scratch;  // likewise
  std::vector<Rounded> rounded;              // by setting
};

/// What all groups of an experiment share.
struct GroupRequest {
  const ExperimentConfig& config;
  const std::vector<Setting>& settings;  // of the config
  System& system;
  std::function<void(const Doing&)> progress;
};

/// Takes over what was read. Group `group` draws with the config's seed + group. Throws ConfigError where counts are no
/// routing's though a layer is to be computed.
RoutedGroup round_group(const GroupRequest& request, SourceRead read, std::int64_t layer, std::int64_t group);

}  // namespace tatr
