#include "report/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

#include "config/json_text.hpp"
#include "core/error.hpp"
#include "report/compare_timing.hpp"
#include "report/metric_list.hpp"

namespace tatr {
namespace {

using nlohmann::json;
using Index = std::map<std::pair<std::string, std::string>, const ResultExperiment*>;
using StrategyKey = std::tuple<std::int64_t, std::string, std::int64_t>;  // layer, label, tile (0: its own)

std::string word(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

Index index_of(const std::vector<ResultExperiment>& results, const char* side) {
  Index index;
  for (const ResultExperiment& result : results) {
    const auto key = std::pair(word(result.experiment["name"]), word(result.experiment["config_hash"]));
    if (!index.emplace(key, &result).second) {
      throw InputError(side, fmt::format("experiment {} with config {} is there twice; allowed: once",
                                         brief_json(key.first), key.second));
    }
  }
  return index;
}

/// Times and memory of another device say nothing. On a CPU, threads are part of the device.
void check_device(const json& base, const json& next, const std::string& name) {
  const auto differs = [&](const char* key) { return base[key] != next[key]; };
  const bool on_cpu = base["device"] == "cpu" && next["device"] == "cpu";
  for (const char* key : {"device", "cpu", "threads"}) {
    if (!differs(key) || (key != std::string("device") && !on_cpu)) continue;
    throw EnvironmentError(fmt::format("experiment {}: another device: {} is {} in BASE and {} in NEW",
                                       brief_json(name), key, brief_json(base[key]), brief_json(next[key])));
  }
}

/// "3: 512 → 384 and 5 more" of two lists by expert; empty where they are equal.
std::string list_difference(const json& base, const json& next) {
  if (base.size() != next.size()) return fmt::format("{} experts → {}", base.size(), next.size());
  std::string first;
  std::size_t others = 0;
  for (std::size_t i = 0; i < base.size(); ++i) {
    if (base[i] == next[i]) continue;
    if (first.empty()) {
      first = fmt::format("expert {}: {} → {}", i, base[i].dump(), next[i].dump());
    } else {
      ++others;
    }
  }
  return first.empty() || others == 0 ? first : fmt::format("{} and {} more", first, others);
}

/// What differs between two values that should be equal, or within a relative tolerance; empty: nothing.
std::string difference(const json& base, const json& next, double tolerance) {
  if (base == next) return {};
  if (base.is_array() && next.is_array()) return list_difference(base, next);
  if (base.is_number() && next.is_number() && tolerance > 0) {
    const double a = base.get<double>(), b = next.get<double>();
    if (std::abs(a - b) <= tolerance * std::max(std::abs(a), std::abs(b))) return {};
  }
  return fmt::format("{} → {}", brief_json(base), brief_json(next));
}

MetricChange exact(MetricChange change, const std::string& metric, const json& base, const json& next,
                   double tolerance = 0) {
  change.metric = metric;
  change.reason = difference(base, next, tolerance);
  change.change = change.reason.empty() ? Change::kSame : Change::kChanged;
  if (change.reason.empty()) change.reason = tolerance > 0 ? "equal within the tolerance" : "equal";
  return change;
}

/// Counts and means of a strategy. They follow from config and seed, so that any difference is a change.
void compare_exact(const json& base, const json& next, const MetricChange& place, const CompareThresholds& thresholds,
                   std::vector<MetricChange>& changes) {
  for (const CountMetric& metric : kCountMetrics) {
    changes.push_back(exact(place, metric.name, base[metric.name], next[metric.name]));
  }
  for (const char* list : {"counts_before", "counts_after", "tiles_per_expert"}) {
    changes.push_back(exact(place, list, base[list], next[list]));
  }
  for (const MeanMetric& metric : kMeanMetrics) {
    changes.push_back(exact(place, metric.name, base[metric.name], next[metric.name], thresholds.mean_tolerance));
  }
  if (base["timing"].is_null() || next["timing"].is_null() || base["timing"]["output_error"].is_null()) return;
  changes.push_back(exact(place, "output_error", base["timing"]["output_error"], next["timing"]["output_error"],
                          thresholds.output_error_tolerance));
}

void compare_routing(const json& base, const json& next, std::vector<MetricChange>& changes) {
  MetricChange place;
  changes.push_back(exact(place, "layers", base.size(), next.size()));
  for (std::size_t i = 0; i < std::min(base.size(), next.size()); ++i) {
    place.layer = base[i]["layer"];
    for (const char* key : {"tokens", "experts", "top_k", "assignments", "counts"}) {
      changes.push_back(exact(place, std::string("routing ") + key, base[i][key], next[i][key]));
    }
  }
}

StrategyKey key_of(const json& strategy) {
  return {strategy["layer"], strategy["label"], strategy["tile"].is_null() ? 0 : strategy["tile"].get<std::int64_t>()};
}

/// The `none` that a strategy stands beside: at its layer and tile, or at the first tile for a strategy with its own.
const json* none_beside(const json& strategies, const json& strategy) {
  for (const json& other : strategies) {
    if (other["name"] != "none" || other["layer"] != strategy["layer"]) continue;
    if (strategy["tile"].is_null() || other["tile"] == strategy["tile"]) return &other;
  }
  return nullptr;
}

void add_note(ExperimentComparison& comparison, const std::string& note) {
  std::vector<std::string>& notes = comparison.notes;
  if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
}

/// What else differs and may explain a verdict: of the run, never judged.
void note_setup(const json& base, const json& next, std::initializer_list<const char*> keys,
                ExperimentComparison& comparison) {
  for (const char* key : keys) {
    if (base[key] == next[key]) continue;
    add_note(comparison, fmt::format("{}: {} → {}", key, brief_json(base[key]), brief_json(next[key])));
  }
}

void compare_strategy(const StrategyPair& pair, ExperimentComparison& comparison, const MetricChange& place,
                      const TimeRules& rules) {
  compare_exact(pair.base, pair.next, place, rules.thresholds, comparison.metrics);
  for (MetricChange& change : compare_times(pair, place, rules)) comparison.metrics.push_back(std::move(change));
  if (pair.base["timing"].is_null() || pair.next["timing"].is_null()) return;
  note_setup(pair.base["timing"], pair.next["timing"], {"backend", "granule_rows", "fused", "shape"}, comparison);
}

/// The yardstick's own change, of the first strategy that has one.
void note_yardstick(const StrategyPair& pair, ExperimentComparison& comparison, bool& noted) {
  if (noted || pair.base["timing"].is_null() || pair.next["timing"].is_null()) return;
  const std::optional<YardstickChange> change = yardstick_change(pair);
  if (!change) return;
  noted = true;
  add_note(comparison, fmt::format("yardstick {}: it took {:.3f} [{:.3f}, {:.3f}] of its time in BASE{}", change->name,
                                   change->ratio.value, change->ratio.low, change->ratio.high,
                                   change->name == "none" ? "; what slows every strategy alike is not seen" : ""));
}

void compare_strategies(const json& base, const json& next, ExperimentComparison& comparison, bool on_cpu,
                        const CompareThresholds& thresholds) {
  const TimeRules rules = rules_for(base, on_cpu, thresholds);
  std::map<StrategyKey, const json*> index;
  for (const json& strategy : next) index.emplace(key_of(strategy), &strategy);
  bool noted = false;
  for (const json& strategy : base) {
    MetricChange place;
    place.label = strategy["label"];
    place.layer = strategy["layer"];
    if (!strategy["tile"].is_null()) place.tile = strategy["tile"].get<std::int64_t>();
    const auto found = index.find(key_of(strategy));
    if (found == index.end()) {
      place.metric = "all metrics";
      place.change = Change::kMissing;
      place.reason = "NEW lacks the strategy at this tile and layer";
      comparison.metrics.push_back(place);
      continue;
    }
    const StrategyPair pair{strategy, *found->second, none_beside(base, strategy), none_beside(next, *found->second)};
    compare_strategy(pair, comparison, place, rules);
    note_yardstick(pair, comparison, noted);
  }
}

ExperimentComparison compare_experiment(const ResultExperiment& base, const ResultExperiment& next,
                                        const CompareThresholds& thresholds) {
  ExperimentComparison comparison;
  comparison.name = base.experiment["name"];
  comparison.config_hash = base.experiment["config_hash"];
  comparison.device = word(base.environment[base.environment["device"] == "cpu" ? "cpu" : "device"]);
  check_device(base.environment, next.environment, comparison.name);
  note_setup(base.environment, next.environment, {"host", "cpu", "driver", "cuda"}, comparison);
  note_setup(base.experiment["memory"], next.experiment["memory"], {"peak_bytes"}, comparison);
  const json &base_error = base.experiment["error"], &next_error = next.experiment["error"];
  if (!base_error.is_null() || !next_error.is_null()) {
    MetricChange change;
    change.metric = "all metrics";
    change.change = base_error.is_null() ? Change::kChanged : Change::kMissing;
    change.reason = base_error.is_null() ? "NEW failed: " + word(next_error) : "BASE failed: " + word(base_error);
    comparison.metrics.push_back(change);
    return comparison;
  }
  compare_routing(base.experiment["routing"], next.experiment["routing"], comparison.metrics);
  compare_strategies(base.experiment["strategies"], next.experiment["strategies"], comparison,
                     base.environment["device"] == "cpu", thresholds);
  return comparison;
}

/// An experiment of BASE that NEW lacks.
ExperimentComparison missing_experiment(const json& base, const Index& next) {
  ExperimentComparison comparison;
  comparison.name = base["name"];
  comparison.config_hash = base["config_hash"];
  MetricChange change;
  change.metric = "all metrics";
  change.change = Change::kMissing;
  change.reason = "NEW lacks the experiment";
  for (const auto& [key, result] : next) {
    if (key.first == comparison.name) change.reason = "NEW ran it with another config, " + key.second;
  }
  comparison.metrics.push_back(change);
  return comparison;
}

}  // namespace

std::size_t Comparison::count(Change change) const {
  std::size_t count = 0;
  for (const ExperimentComparison& experiment : experiments) {
    for (const MetricChange& metric : experiment.metrics) count += metric.change == change;
  }
  return count;
}

Comparison compare_results(const std::vector<ResultExperiment>& base, const std::vector<ResultExperiment>& next,
                           const CompareThresholds& thresholds) {
  const Index base_index = index_of(base, "BASE"), next_index = index_of(next, "NEW");
  Comparison comparison;
  bool any = false;
  for (const ResultExperiment& result : base) {
    const json& name = result.experiment["name"];
    const auto found = next_index.find({name, result.experiment["config_hash"]});
    any = any || found != next_index.end();
    comparison.experiments.push_back(found == next_index.end()
                                         ? missing_experiment(result.experiment, next_index)
                                         : compare_experiment(result, *found->second, thresholds));
  }
  if (!any) throw InputError("NEW", "has no experiment of BASE with the same name and config: nothing to compare");
  for (const auto& [key, result] : next_index) {
    if (base_index.count(key) == 0) {
      comparison.notes.push_back(fmt::format("only in NEW: {} (config {})", key.first, key.second));
    }
  }
  return comparison;
}

bool is_regression(Change change, bool strict) {
  if (change == Change::kSlower || change == Change::kChanged) return true;
  return strict && (change == Change::kAmbiguous || change == Change::kMissing);
}

bool regressed(const Comparison& comparison, bool strict) {
  for (std::size_t i = 0; i < kChangeNames.size(); ++i) {
    const auto change = static_cast<Change>(i);
    if (is_regression(change, strict) && comparison.count(change) > 0) return true;
  }
  return false;
}

}  // namespace tatr
