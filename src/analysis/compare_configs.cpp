#include "analysis/compare_configs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "records/stored_results.hpp"

namespace tatr {
namespace {

using nlohmann::json;

json member(const json& object, const char* key) { return object.is_object() ? object.value(key, json()) : json(); }

/// Strategies by label, so that one that is added or moved is not taken for a change of those after it.
json by_label(json config) {
  if (!member(config, "strategies").is_array()) return config;
  json strategies = json::object();
  for (const json& strategy : config["strategies"]) {
    if (strategy.is_object()) strategies[strategy.value("label", strategy.value("name", ""))] = strategy;
  }
  config["strategies"] = std::move(strategies);
  return config;
}

std::string trace_digest(const json& experiment) {
  const json digest = member(member(member(experiment, "inputs"), "trace"), "digest");
  return digest.is_string() ? digest.get<std::string>() : std::string();
}

/// What differs of some members, as "/seed: 3 → 4".
std::string changes_of(const json& base, const json& next, std::initializer_list<const char*> keys) {
  json from = json::object(), to = json::object();
  for (const char* key : keys) {
    from[key] = member(base, key);
    to[key] = member(next, key);
  }
  return describe_changes(from, to);
}

/// A trace of the same content under another name is the same.
void forget_file(json& config) {
  if (member(member(config, "router"), "source").is_object()) config["router"]["source"].erase("file");
}

std::string why_other_routing(json base, json next, const std::string& base_digest, const std::string& next_digest) {
  const bool known = !base_digest.empty() && !next_digest.empty();
  if (known && base_digest != next_digest) {
    return fmt::format("the trace held something else: digest {} → {}", base_digest, next_digest);
  }
  if (known) {
    forget_file(base);
    forget_file(next);
  }
  return changes_of(base, next, {"seed", "router"});
}

}  // namespace

ConfigDifference::ConfigDifference(const json& base, const json& next)
    : base_(by_label(member(base, "config"))), next_(by_label(member(next, "config"))) {
  words_ = describe_changes(base_, next_);
  routing_ = why_other_routing(base_, next_, trace_digest(base), trace_digest(next));
  work_ = changes_of(base_, next_, {"layer", "model"});
  const std::string cache = changes_of(member(base_, "measure"), member(next_, "measure"), {"l2"});
  if (!cache.empty()) work_ += (work_.empty() ? "/measure" : ", /measure") + cache;
}

std::string ConfigDifference::other_options(const std::string& label) const {
  const json base = member(member(base_, "strategies"), label.c_str());
  const json next = member(member(next_, "strategies"), label.c_str());
  return base.is_null() || next.is_null() ? std::string() : describe_changes(base, next);
}

std::string ConfigDifference::lacking(const std::string& label, std::int64_t tile) const {
  const json strategies = member(next_, "strategies"), tiles = member(next_, "tile");
  if (strategies.is_object() && !strategies.contains(label)) return fmt::format("NEW's config lacks {}", label);
  if (tile == 0) return {};
  const bool there = !tiles.is_array() ? tiles.is_null() || tiles == json(tile)
                                       : std::find(tiles.begin(), tiles.end(), json(tile)) != tiles.end();
  return there ? std::string() : fmt::format("NEW's config lacks tile {}", tile);
}

}  // namespace tatr
