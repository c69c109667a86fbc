// The part of a comparison that decides what two results of one name have in common where their configs, or what their
// traces held, differ: only figures that follow from the same inputs are judged.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace tatr {

class ConfigDifference {
 public:
  /// Both experiments as in result.schema.json.
  ConfigDifference(const nlohmann::json& base, const nlohmann::json& next);

  /// "/measure/samples: 20 → 100, … and 2 more", strategies by label; empty where configs are equal.
  const std::string& words() const { return words_; }

  /// Why no figure is judged: seed, router or trace differ. Empty: they do not.
  const std::string& other_routing() const { return routing_; }

  /// Why times and the output's error are not: the layer, its model or the cache's state differ. How many samples are
  /// taken does not matter.
  const std::string& other_work() const { return work_; }

  /// Why figures of one strategy are not: its options differ. The draws of a strategy depend on these, not on its place
  /// in the list.
  std::string other_options(const std::string& label) const;

  /// Why NEW cannot have a setting at all: its config lacks the strategy or the tile (0: the strategy's own).
  std::string lacking(const std::string& label, std::int64_t tile) const;

 private:
  nlohmann::json base_, next_;  // configs, with strategies by label
  std::string words_, routing_, work_;
};

}  // namespace tatr
