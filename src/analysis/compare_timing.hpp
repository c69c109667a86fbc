// The part of a comparison that judges times.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analysis/compare.hpp"

namespace tatr {

/// 0: each expert has its own.
std::int64_t tile_of(const nlohmann::json& strategy);

bool is_modelled(const nlohmann::json& strategy);

/// `none` of each layer and tile.
class NoneIndex {
 public:
  explicit NoneIndex(const nlohmann::json& strategies);  // which must outlive it

  /// Of the same layer and tile, or of the first tile for a strategy with its own; null where there is none.
  const nlohmann::json* beside(const nlohmann::json& strategy) const;

 private:
  std::map<std::int64_t, const nlohmann::json*> first_;
  std::map<std::pair<std::int64_t, std::int64_t>, const nlohmann::json*> beside_;
};

/// Both results of one strategy, and of the `none` it stands beside (null: none); all as in result.schema.json.
struct StrategyPair {
  const nlohmann::json &base, &next;
  const nlohmann::json *base_none, *next_none;
};

/// What verdicts on the times of one experiment share.
struct TimeRules {
  CompareThresholds thresholds;
  double sure = 0.95;   // confidence of the interval that must not hold 1 where a time is slower or faster
  bool on_cpu = false;  // there only the layer and its GEMMs are judged
};

/// Rules under which noise alone calls any time of an experiment slower with the probability that the thresholds allow
/// (Bonferroni). `strategies` are BASE's.
TimeRules rules_for(const nlohmann::json& strategies, bool on_cpu, const CompareThresholds& thresholds);

/// Every series of samples that BASE has. `place` names strategy, tile and layer in what is returned. The yardstick is
/// the uniform GEMMs of the same strategy where both runs kept their samples, else the layer time of `none`; sample i
/// is divided by the yardstick's sample i, which was taken in the same round.
std::vector<MetricChange> compare_times(const StrategyPair& pair, const MetricChange& place, const TimeRules& rules);

/// How much more time the yardstick itself took in NEW: what changed in the machine, or in the library.
struct YardstickChange {
  std::string name;
  Interval ratio;
};

/// The median of a time over its yardstick.
struct Quotient {
  std::string metric, yardstick;
  double value = 0, median_ms = 0;
  std::size_t samples = 0;
};

/// Of the layer and its GEMMs, as one run measured them; nothing of what is modelled, not timed or without a yardstick.
std::vector<Quotient> quotients_of(const nlohmann::json& strategy, const nlohmann::json* none);

/// Of the yardstick that divides this pair's times; absent without one.
std::optional<YardstickChange> yardstick_change(const StrategyPair& pair);

}  // namespace tatr
