// What results of many commits tell together: a file of compact lines, one an experiment and result, and where the
// level of a time has changed. Decides what is kept of a result, which results go together and what is a change; a
// file's lines are read and written by the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/change_points.hpp"
#include "analysis/compare.hpp"

namespace tatr {

/// One strategy at a tile and layer: its layer's time over that of its yardstick.
struct SeriesKey {
  std::string label;
  std::int64_t tile = 0;  // 0: each expert has its own
  std::int64_t layer = 0;
  std::string yardstick;
  auto operator<=>(const SeriesKey&) const = default;  // NOLINT(modernize-use-nullptr)
};

/// A slow-down that is no longer than this ago, in results, fails; after that it is the level that things have.
inline constexpr std::size_t kRecentResults = 10;

/// Only so many of the newest results of an experiment are looked at.
inline constexpr std::size_t kMostResults = 100;

struct HistorySeries {
  SeriesKey key;
  std::vector<double> values;       // oldest first
  std::vector<std::size_t> places;  // of their results in HistoryOfExperiment
  std::vector<ChangePoint> changes;
  bool is_short = false;  // too few values to tell
};

/// All results of one experiment, config, trace and device.
struct HistoryOfExperiment {
  std::string name, config_hash, device;
  std::vector<std::string> commits, dates;  // in the order in which they were added
  std::vector<HistorySeries> series;
  double chance = 0;             // of a false alarm, for each series
  std::size_t least_values = 0;  // that can show a change
};

class History {
 public:
  /// A line that history_line has made. `place` is the file and the line, for errors. Throws ConfigError at anything
  /// else.
  void add(std::string_view line, const std::string& place);

  bool has(const std::string& line) const;  // the same result, whatever its commit

  /// In the order in which experiments appear first.
  std::vector<HistoryOfExperiment> analyse(const CompareThresholds& thresholds) const;

 private:
  std::vector<nlohmann::json> lines_;
};

/// The line of an experiment; empty where it has no measured times with a yardstick. Without a commit, that of the
/// program which measured it.
std::string history_line(const nlohmann::json& document, const std::string& commit);

/// Whether the newest change of a series is a slow-down that began within the last kRecentResults results.
bool slowed_lately(const HistorySeries& series);

bool slowed_lately(const std::vector<HistoryOfExperiment>& history);

}  // namespace tatr
