#include "analysis/history.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "analysis/compare_timing.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "json/json_text.hpp"

namespace tatr {
namespace {

using nlohmann::json;

constexpr const char* kVersionKey = "tatr_history";
constexpr int kVersion = 1;

/// On a CPU its model and threads are part of the device, as where two results are compared.
std::string device_of(const json& environment) {
  const std::string device = environment["device"];
  if (device != "cpu") return device;
  return environment["cpu"].get<std::string>() + ", " + environment["threads"].dump() + " threads";
}

json times_of(const json& experiment) {
  const json& strategies = experiment["strategies"];
  const NoneIndex nones(strategies);
  json times = json::array();
  for (const json& strategy : strategies) {
    for (const Quotient& quotient : quotients_of(strategy, nones.beside(strategy))) {
      times.push_back({{"label", strategy["label"]},
                       {"tile", strategy["tile"]},
                       {"layer", strategy["layer"]},
                       {"metric", quotient.metric},
                       {"yardstick", quotient.yardstick},
                       {"quotient", quotient.value},
                       {"median_ms", quotient.median_ms},
                       {"samples", quotient.samples}});
    }
  }
  return times;
}

std::string digest_of(const json& experiment, const json& environment) {
  return hex_digits(fnv1a(experiment.dump() + environment.value("date", "")));
}

bool is_time(const json& time) {
  const auto is = [&](const char* key, auto check) { return time.contains(key) && (time[key].*check)(); };
  return time.is_object() && is("label", &json::is_string) && is("metric", &json::is_string) &&
         is("yardstick", &json::is_string) && is("layer", &json::is_number_integer) && time.contains("tile") &&
         (time["tile"].is_null() || time["tile"].is_number_integer()) && is("quotient", &json::is_number) &&
         time["quotient"].get<double>() > 0;
}

/// What is wrong with a line; empty: nothing.
std::string problem_of(const json& line) {
  if (!line.is_object() || !line.contains(kVersionKey)) {
    return "is no line of a history; expected a file that tatr-sim compare --history has made, or a new one";
  }
  if (line[kVersionKey] != kVersion) return "is of another version of histories; expected 1";
  for (const char* key : {"commit", "date", "experiment", "config_hash", "device", "trace", "result"}) {
    if (!line.contains(key) || !line[key].is_string()) return std::string("lacks ") + key + "; expected text";
  }
  if (!line.contains("times") || !line["times"].is_array()) return "lacks times; expected a list";
  const bool whole = std::all_of(line["times"].begin(), line["times"].end(), is_time);
  return whole ? "" : "has a time that is none; expected label, tile, layer, metric, yardstick and quotient";
}

SeriesKey key_of(const json& time) {
  return {time["label"], time["tile"].is_null() ? 0 : time["tile"].get<std::int64_t>(), time["layer"],
          time["yardstick"]};
}

HistoryOfExperiment collect(const std::vector<const json*>& lines) {
  HistoryOfExperiment history;
  const json& newest = *lines.back();
  history.name = newest["experiment"];
  history.config_hash = newest["config_hash"];
  history.device = newest["device"];
  std::map<SeriesKey, std::size_t> index;
  for (std::size_t i = lines.size() - std::min(lines.size(), kMostResults); i < lines.size(); ++i) {
    const json& line = *lines[i];
    history.commits.push_back(line["commit"]);
    history.dates.push_back(line["date"]);
    for (const json& time : line["times"]) {
      if (time["metric"] != "layer_ms") continue;
      const auto [entry, is_new] = index.emplace(key_of(time), history.series.size());
      if (is_new) history.series.emplace_back().key = entry->first;
      HistorySeries& series = history.series[entry->second];
      series.values.push_back(time["quotient"]);
      series.places.push_back(history.commits.size() - 1);
    }
  }
  return history;
}

}  // namespace

std::string history_line(const json& document, const std::string& commit) {
  const json &experiment = document["experiments"][0], &environment = document["environment"];
  if (!experiment["error"].is_null()) return {};
  const json times = times_of(experiment);
  if (times.empty()) return {};
  const json inputs = experiment.value("inputs", json::object());
  const json trace = inputs.is_object() ? inputs.value("trace", json()) : json();
  const json line = {{kVersionKey, kVersion},
                     {"commit", commit.empty() ? document["tool"]["git"] : json(commit)},
                     {"date", environment["date"]},
                     {"experiment", experiment["name"]},
                     {"config_hash", experiment["config_hash"]},
                     {"device", device_of(environment)},
                     {"trace", trace.is_object() ? trace.value("digest", "") : std::string()},
                     {"result", digest_of(experiment, environment)},
                     {"times", times}};
  return line.dump(-1, ' ', false, json::error_handler_t::replace);
}

void History::add(std::string_view line, const std::string& place) {
  json parsed = parse_json_text(line, place);
  const std::string problem = problem_of(parsed);
  if (!problem.empty()) throw ConfigError(place, problem);
  lines_.push_back(std::move(parsed));
}

bool History::has(const std::string& line) const {
  const json result = json::parse(line)["result"];
  return std::any_of(lines_.begin(), lines_.end(), [&](const json& one) { return one["result"] == result; });
}

std::vector<HistoryOfExperiment> History::analyse(const CompareThresholds& thresholds) const {
  using Key = std::tuple<std::string, std::string, std::string, std::string>;
  std::map<Key, std::size_t> index;
  std::vector<std::vector<const json*>> groups;
  for (const json& line : lines_) {
    const Key key{line["experiment"], line["config_hash"], line["device"], line["trace"]};
    const auto [entry, is_new] = index.emplace(key, groups.size());
    if (is_new) groups.emplace_back();
    groups[entry->second].push_back(&line);
  }
  std::vector<HistoryOfExperiment> histories;
  for (const auto& group : groups) {
    HistoryOfExperiment& history = histories.emplace_back(collect(group));
    // Of all series together the chance is what the thresholds allow (Bonferroni).
    history.chance =
        thresholds.history_false_alarm / static_cast<double>(std::max<std::size_t>(history.series.size(), 1));
    ChangePointTest test(history.chance);
    history.least_values = test.least_values();
    for (HistorySeries& series : history.series) {
      series.is_short = series.values.size() < history.least_values;
      series.changes = test.find(series.values, thresholds.layer_margin);
    }
  }
  return histories;
}

bool slowed_lately(const HistorySeries& series) {
  if (series.changes.empty()) return false;
  const ChangePoint& newest = series.changes.back();
  return newest.after > newest.before && series.values.size() - newest.at <= kRecentResults;
}

bool slowed_lately(const std::vector<HistoryOfExperiment>& history) {
  return std::any_of(history.begin(), history.end(), [](const HistoryOfExperiment& experiment) {
    return std::any_of(experiment.series.begin(), experiment.series.end(),
                       [](const HistorySeries& series) { return slowed_lately(series); });
  });
}

}  // namespace tatr
