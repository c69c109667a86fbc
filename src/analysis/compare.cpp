#include "analysis/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "analysis/compare_configs.hpp"
#include "analysis/compare_timing.hpp"
#include "core/error.hpp"
#include "json/json_text.hpp"
#include "records/metric_catalogue.hpp"
#include "records/result_upgrade.hpp"

namespace tatr {
namespace {

using nlohmann::json;
constexpr const char* kShownMetrics[] = {"tiles", "tile_utilisation", "dropped_gate_mass"};
using Index = std::map<std::pair<std::string, std::string>, std::size_t>;  // by name and config hash
using StrategyKey = std::tuple<std::int64_t, std::string, std::int64_t>;   // layer, label, tile (0: its own)

std::string word(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

Index index_of(const ExperimentSource& source, const std::string& side) {
  Index index;
  for (const ResultKey& key : source.keys) {
    if (!index.emplace(std::pair(key.name, key.config_hash), index.size()).second) {
      throw InputError(side, fmt::format("experiment {} with config {} is there twice; allowed: once",
                                         brief_json(key.name), key.config_hash));
    }
  }
  return index;
}

/// Other versions count and time other things under the same names.
void check_versions(const ResultKey& base, const ResultKey& next) {
  if (major_version(base.schema_version) == major_version(next.schema_version)) return;
  throw EnvironmentError(
      fmt::format("experiment {}: another schema version: {} in BASE and {} in NEW; run both with one "
                  "version of tatr-sim",
                  brief_json(base.name), brief_json(base.schema_version), brief_json(next.schema_version)));
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

/// Modelled times say nothing of measured ones, nor one model of another. What only the figures of one model changed is
/// noted: they may explain what else does.
void check_model(const json& base, const json& next, ExperimentComparison& comparison) {
  if (base.is_null() && next.is_null()) return;
  const auto words = [](const json& model) {
    return model.is_null()
               ? "measured"
               : fmt::format("{} ({}, {})", word(model["device"]), word(model["id"]), word(model["source"]));
  };
  for (const char* key : {"id", "name", "source"}) {
    if (!base.is_null() && !next.is_null() && base[key] == next[key]) continue;
    throw InputError("experiment " + brief_json(comparison.name),
                     fmt::format("times are {} in BASE and {} in NEW; allowed: both measured, or both modelled by one "
                                 "device file",
                                 words(base), words(next)));
  }
  note_setup(base, next, {"digest", "words"}, comparison);
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

/// Means over groups of tokens, where there are several.
void compare_groups(const json& base, const json& next, const MetricChange& place, const CompareThresholds& thresholds,
                    std::vector<MetricChange>& changes) {
  const json before = base.value("batches", json()), after = next.value("batches", json());
  if (!before.is_object() || !after.is_object()) return;
  const auto mean = [](const json& batches, const std::string& metric) {
    const json spread = batches["metrics"].value(metric, json());
    return spread.is_object() ? spread["mean"] : json();
  };
  for (const RoundingMetric& metric : kRoundingMetrics) {
    const std::string name(metric.name);
    changes.push_back(
        exact(place, name + " over groups", mean(before, name), mean(after, name), thresholds.mean_tolerance));
  }
}

/// Counts and means of a strategy. They follow from config and seed, so that any difference is a change. `same_layer`:
/// so does the output's error.
void compare_exact(const json& base, const json& next, const MetricChange& place, const CompareThresholds& thresholds,
                   bool same_layer, std::vector<MetricChange>& changes) {
  for (const RoundingMetric& metric : kRoundingMetrics) {
    const std::string name(metric.name);
    changes.push_back(exact(place, name, base[name], next[name], metric.is_count() ? 0 : thresholds.mean_tolerance));
  }
  compare_groups(base, next, place, thresholds, changes);
  for (const char* list : {"counts_before", "counts_after", "tiles_per_expert"}) {
    changes.push_back(exact(place, list, base[list], next[list]));
  }
  if (!same_layer || base["timing"].is_null() || next["timing"].is_null()) return;
  if (base["timing"]["output_error"].is_null()) return;
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

StrategyKey key_of(const json& strategy) { return {strategy["layer"], strategy["label"], tile_of(strategy)}; }

/// Traces and calibrations that held something else; results of versions that did not record them say nothing.
void note_inputs(const json& base, const json& next, ExperimentComparison& comparison) {
  if (base.contains("inputs") && next.contains("inputs")) {
    note_setup(base["inputs"], next["inputs"], {"trace", "calibration"}, comparison);
  }
}

/// Modelled times follow from config, model and program, so that any difference is a change.
void compare_modelled(const StrategyPair& pair, const MetricChange& place, const CompareThresholds& thresholds,
                      std::vector<MetricChange>& changes) {
  static const json kNull;
  const auto value_in = [](const json& strategy, const std::string& metric) -> const json& {
    const json& timing = strategy["timing"];
    return timing.is_null() || timing[metric].is_null() ? kNull : timing[metric]["value"];
  };
  for (const TimeMetric& metric : kTimeMetrics) {
    const std::string name(metric.name);
    const json &base = value_in(pair.base, name), &next = value_in(pair.next, name);
    if (base.is_null() && next.is_null()) continue;
    changes.push_back(exact(place, name, base, next, thresholds.mean_tolerance));
    if (base.is_number() && next.is_number()) changes.back().time = TimeChange{base, next, std::nullopt};
  }
}

/// Medians of both, which are not judged.
void show_times(const StrategyPair& pair, const MetricChange& place, const std::string& reason,
                std::vector<MetricChange>& changes) {
  const auto middle = [](const json& strategy, const std::string& metric) {
    const json& timing = strategy["timing"];
    if (timing.is_null() || !timing[metric].is_object()) return json();
    return timing[metric].value(is_modelled(strategy) ? "value" : "median", json());
  };
  for (const TimeMetric& metric : kTimeMetrics) {
    const json base = middle(pair.base, std::string(metric.name)), next = middle(pair.next, std::string(metric.name));
    if (!base.is_number() || !next.is_number()) continue;
    MetricChange& change = changes.emplace_back(place);
    change.metric = metric.name;
    change.reason = reason + ": shown, not judged";
    change.time = TimeChange{base, next, std::nullopt};
  }
}

/// The figures by which settings are told apart, which are not judged, and times.
void show_strategy(const StrategyPair& pair, const MetricChange& place, const std::string& reason,
                   std::vector<MetricChange>& changes) {
  for (const char* metric : kShownMetrics) {
    const json base = pair.base.value(metric, json()), next = pair.next.value(metric, json());
    if (!base.is_number() || !next.is_number()) continue;
    MetricChange& change = changes.emplace_back(place);
    change.metric = metric;
    change.reason = reason + ": shown, not judged";
    change.shown = {base.get<double>(), next.get<double>()};
  }
  show_times(pair, place, reason, changes);
}

/// What cannot be judged, once for all the settings that it befalls.
void add_missing(ExperimentComparison& comparison, const std::string& reason) {
  const auto said = [&](const MetricChange& change) { return change.label.empty() && change.reason == reason; };
  if (std::any_of(comparison.metrics.begin(), comparison.metrics.end(), said)) return;
  MetricChange& change = comparison.metrics.emplace_back();
  change.metric = "all metrics";
  change.change = Change::kMissing;
  change.reason = reason;
}

/// Which of several groups of tokens was kept and timed: where first settings differ, it need not be the same.
json group_of(const json& strategy) {
  const json batches = strategy.value("batches", json());
  return batches.is_object() ? json{batches.value("median_group", json()), batches.value("worst_group", json())}
                             : json();
}

/// Why a setting that both have is not judged; empty: it is.
std::string why_not_judged(const StrategyPair& pair, const ConfigDifference& difference) {
  const std::string label = pair.base["label"];
  if (!difference.other_routing().empty()) return "other routing (" + difference.other_routing() + ")";
  const std::string options = difference.other_options(label);
  if (!options.empty()) return fmt::format("other options of {} ({})", label, options);
  const bool other_group = !difference.words().empty() && group_of(pair.base) != group_of(pair.next);
  return other_group ? "another group of tokens (the first setting differs)" : "";
}

void compare_strategy(const StrategyPair& pair, ExperimentComparison& comparison, const MetricChange& place,
                      const TimeRules& rules, const std::string& other_work) {
  compare_exact(pair.base, pair.next, place, rules.thresholds, other_work.empty(), comparison.metrics);
  if (!other_work.empty()) {
    show_times(pair, place, "of other work", comparison.metrics);
  } else if (is_modelled(pair.base) || is_modelled(pair.next)) {
    compare_modelled(pair, place, rules.thresholds, comparison.metrics);
  } else {
    for (MetricChange& change : compare_times(pair, place, rules)) comparison.metrics.push_back(std::move(change));
  }
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

MetricChange place_of(const json& strategy) {
  MetricChange place;
  place.label = strategy["label"];
  place.layer = strategy["layer"];
  if (!strategy["tile"].is_null()) place.tile = strategy["tile"].get<std::int64_t>();
  return place;
}

void note_lacking(MetricChange place, const ConfigDifference& difference, ExperimentComparison& comparison) {
  const std::string why = difference.lacking(place.label, place.tile.value_or(0));
  if (!why.empty()) return add_missing(comparison, why);
  place.metric = "all metrics";
  place.change = Change::kMissing;
  place.reason = "NEW lacks the strategy at this tile and layer";
  comparison.metrics.push_back(std::move(place));
}

void compare_strategies(const json& base, const json& next, ExperimentComparison& comparison, bool on_cpu,
                        const ConfigDifference& difference, const CompareThresholds& thresholds) {
  const TimeRules rules = rules_for(base, on_cpu, thresholds);
  std::map<StrategyKey, const json*> index;
  for (const json& strategy : next) index.emplace(key_of(strategy), &strategy);
  const NoneIndex base_nones(base), next_nones(next);
  bool noted = false;
  for (const json& strategy : base) {
    const MetricChange place = place_of(strategy);
    const auto found = index.find(key_of(strategy));
    if (found == index.end()) {
      note_lacking(place, difference, comparison);
      continue;
    }
    ++comparison.settings_in_both;
    const StrategyPair pair{strategy, *found->second, base_nones.beside(strategy), next_nones.beside(*found->second)};
    const std::string why = why_not_judged(pair, difference);
    if (!why.empty()) {
      add_missing(comparison, why + ": shown, not judged");
      show_strategy(pair, place, why, comparison.metrics);
      continue;
    }
    compare_strategy(pair, comparison, place, rules, difference.other_work());
    if (difference.other_work().empty()) note_yardstick(pair, comparison, noted);
  }
}

ExperimentComparison compare_experiment(const ResultExperiment& base, const ResultExperiment& next,
                                        const CompareThresholds& thresholds) {
  ExperimentComparison comparison;
  comparison.name = base.experiment["name"];
  comparison.config_hash = base.experiment["config_hash"];
  if (next.experiment["config_hash"] != base.experiment["config_hash"]) {
    comparison.next_config_hash = next.experiment["config_hash"];
  }
  comparison.device = word(base.environment[base.environment["device"] == "cpu" ? "cpu" : "device"]);
  const json base_model = base.experiment.value("model", json()), next_model = next.experiment.value("model", json());
  check_model(base_model, next_model, comparison);
  if (base_model.is_null()) {
    check_device(base.environment, next.environment, comparison.name);
  } else {
    comparison.device = word(base_model["device"]);
  }
  note_setup(base.environment, next.environment, {"host", "cpu", "driver", "cuda"}, comparison);
  note_setup(base.experiment["memory"], next.experiment["memory"], {"peak_bytes"}, comparison);
  note_inputs(base.experiment, next.experiment, comparison);
  const json &base_error = base.experiment["error"], &next_error = next.experiment["error"];
  if (!base_error.is_null() || !next_error.is_null()) {
    MetricChange change;
    change.metric = "all metrics";
    change.change = base_error.is_null() ? Change::kChanged : Change::kMissing;
    change.reason = base_error.is_null() ? "NEW failed: " + word(next_error) : "BASE failed: " + word(base_error);
    comparison.metrics.push_back(change);
    return comparison;
  }
  const ConfigDifference difference(base.experiment, next.experiment);
  if (!difference.words().empty()) add_note(comparison, "the configs differ: " + difference.words());
  if (difference.other_routing().empty()) {
    compare_routing(base.experiment["routing"], next.experiment["routing"], comparison.metrics);
  }
  compare_strategies(base.experiment["strategies"], next.experiment["strategies"], comparison,
                     base.environment["device"] == "cpu", difference, thresholds);
  const auto is_time = [](const MetricChange& metric) { return metric.time.has_value(); };
  if (difference.other_routing().empty() && !difference.other_work().empty() &&
      std::any_of(comparison.metrics.begin(), comparison.metrics.end(), is_time)) {
    add_missing(comparison, "times are of other work (" + difference.other_work() + "): shown, not judged");
  }
  return comparison;
}

/// An experiment of BASE that NEW lacks.
ExperimentComparison missing_experiment(const ResultKey& base, const Index& next) {
  ExperimentComparison comparison;
  comparison.name = base.name;
  comparison.config_hash = base.config_hash;
  const auto other = next.lower_bound({base.name, ""});
  const bool several = other != next.end() && other->first.first == base.name;
  add_missing(comparison,
              several ? "NEW or BASE has it more than once, under other configs" : "NEW lacks the experiment");
  return comparison;
}

/// Places in NEW by places in BASE: of the same name and config, and then of names that both have once more.
std::map<std::size_t, std::size_t> matches_of(const ExperimentSource& base, const ExperimentSource& next,
                                              const Index& base_index, const Index& next_index) {
  std::map<std::size_t, std::size_t> matches;
  std::map<std::string, std::vector<std::size_t>> base_left, next_left;
  for (std::size_t i = 0; i < base.keys.size(); ++i) {
    const auto found = next_index.find({base.keys[i].name, base.keys[i].config_hash});
    if (found != next_index.end()) matches.emplace(i, found->second);
    if (found == next_index.end()) base_left[base.keys[i].name].push_back(i);
  }
  for (std::size_t i = 0; i < next.keys.size(); ++i) {
    if (base_index.count({next.keys[i].name, next.keys[i].config_hash}) == 0) next_left[next.keys[i].name].push_back(i);
  }
  for (const auto& [name, places] : base_left) {
    const auto found = next_left.find(name);
    if (found != next_left.end() && places.size() == 1 && found->second.size() == 1) {
      matches.emplace(places[0], found->second[0]);
    }
  }
  return matches;
}

/// Only counts what is the same, but for the layer's times, which are shown.
void leave_out_same(ExperimentComparison& comparison) {
  std::erase_if(comparison.metrics, [&](const MetricChange& metric) {
    if (metric.change != Change::kSame || (metric.time && metric.metric == "layer_ms")) return false;
    ++comparison.same_left_out;
    if (metric.time) ++comparison.same_times_left_out;
    return true;
  });
}

}  // namespace

std::size_t Comparison::count(Change change) const {
  std::size_t count = 0;
  for (const ExperimentComparison& experiment : experiments) {
    for (const MetricChange& metric : experiment.metrics) count += metric.change == change;
    if (change == Change::kSame) count += experiment.same_left_out;
  }
  return count;
}

std::size_t Comparison::count_times(Change change) const {
  std::size_t count = 0;
  for (const ExperimentComparison& experiment : experiments) {
    for (const MetricChange& metric : experiment.metrics) count += metric.time && metric.change == change;
    if (change == Change::kSame) count += experiment.same_times_left_out;
  }
  return count;
}

std::size_t Comparison::times_not_judged() const {
  std::size_t count = 0;
  for (const ExperimentComparison& experiment : experiments) {
    for (const MetricChange& metric : experiment.metrics) count += metric.time && !metric.change;
  }
  return count;
}

std::vector<double> Comparison::samples_needed() const {
  std::vector<double> needed;
  for (const ExperimentComparison& experiment : experiments) {
    for (const MetricChange& metric : experiment.metrics) {
      if (metric.change == Change::kAmbiguous && metric.samples_needed) needed.push_back(*metric.samples_needed);
    }
  }
  std::sort(needed.begin(), needed.end());
  return needed;
}

ExperimentSource source_of(ResultFile& file) {
  return {{}, file.keys(), [&file](std::size_t i) {
            StoredResult result = file.load(i);
            return ResultExperiment{std::move(result.document["environment"]),
                                    std::move(result.document["experiments"][0])};
          }};
}

ExperimentSource source_of(const std::vector<ResultExperiment>& results) {
  ExperimentSource source;
  for (const ResultExperiment& result : results) {
    ResultKey& key = source.keys.emplace_back();
    key.name = word(result.experiment["name"]);
    key.config_hash = word(result.experiment["config_hash"]);
  }
  source.load = [&results](std::size_t i) { return results[i]; };
  return source;
}

Comparison compare_results(const std::vector<ResultExperiment>& base, const std::vector<ResultExperiment>& next,
                           const CompareThresholds& thresholds) {
  return compare_results(source_of(base), source_of(next), thresholds, /*list_same=*/true);
}

Comparison compare_results(const ExperimentSource& base, const ExperimentSource& next,
                           const CompareThresholds& thresholds, bool list_same) {
  const std::string base_name = base.name.empty() ? "BASE" : base.name,
                    next_name = next.name.empty() ? "NEW" : next.name;
  const Index base_index = index_of(base, base_name), next_index = index_of(next, next_name);
  const auto matches = matches_of(base, next, base_index, next_index);
  if (matches.empty()) {
    throw InputError(next_name, "has no experiment of the same name as one of BASE: nothing to compare");
  }
  Comparison comparison;
  bool common = false;
  std::set<std::size_t> matched;
  for (std::size_t i = 0; i < base.keys.size(); ++i) {
    const auto found = matches.find(i);
    if (found != matches.end()) {
      check_versions(base.keys[i], next.keys[found->second]);
      matched.insert(found->second);
    }
    comparison.experiments.push_back(found == matches.end()
                                         ? missing_experiment(base.keys[i], next_index)
                                         : compare_experiment(base.load(i), next.load(found->second), thresholds));
    const ExperimentComparison& last = comparison.experiments.back();
    common = common || (found != matches.end() && (last.next_config_hash.empty() || last.settings_in_both > 0));
    if (!list_same) leave_out_same(comparison.experiments.back());
  }
  if (!common) {
    throw InputError(next_name, "has no strategy at a tile and layer that BASE has, too: nothing to compare (" +
                                    comparison.experiments.front().notes.back() + ")");
  }
  for (const auto& [key, place] : next_index) {
    if (matched.count(place) == 0) {
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
