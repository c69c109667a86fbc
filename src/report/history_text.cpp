#include "report/history_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/format.hpp"
#include "report/markdown.hpp"

namespace tatr {
namespace {

constexpr std::size_t kMostRows = 50;
constexpr std::size_t kCourse = 20;  // newest results in a picture

const std::vector<std::string> kHeads = {"Strategy", "Tile", "Layer", "Results", "Now", "Course", "Change"};

/// The newest values as blocks between their least and their greatest, which are at least 5 % apart: noise looks flat.
std::string course_of(const std::vector<double>& values) {
  static constexpr std::array<const char*, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::size_t first = values.size() - std::min(values.size(), kCourse);
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
  const auto [least, greatest] = std::minmax_element(begin, values.end());
  const double middle = 0.5 * (*least + *greatest), width = std::max(*greatest - *least, 0.05 * middle);
  std::string picture;
  for (auto value = begin; value != values.end(); ++value) {
    const double share = (*value - middle) / width + 0.5;
    picture += kBlocks[static_cast<std::size_t>(std::clamp(std::floor(share * 8), 0.0, 7.0))];
  }
  return picture;
}

std::string place_of(const SeriesKey& key) {
  return fmt::format("{}, tile {}, layer {}", key.label, key.tile == 0 ? "by load" : std::to_string(key.tile),
                     key.layer);
}

std::string step_of(const ChangePoint& change) {
  return fmt::format("{} {}", change.after > change.before ? "slower" : "faster",
                     format_change(change.after / change.before - 1));
}

/// "a1b2c3d (2026-01-02)"
std::string result_of(const HistoryOfExperiment& history, std::size_t place) {
  return fmt::format("{} ({})", shorten(history.commits[place], 24), history.dates[place].substr(0, 10));
}

std::vector<std::string> row_of(const HistorySeries& series) {
  return {shorten(series.key.label, 20),
          series.key.tile == 0 ? "by load" : std::to_string(series.key.tile),
          std::to_string(series.key.layer),
          std::to_string(series.values.size()),
          fmt::format("{:.3f}", series.values.back()),
          course_of(series.values),
          series.changes.empty() ? (series.is_short ? "too few" : "none") : step_of(series.changes.back())};
}

std::vector<std::vector<std::string>> rows_of(const HistoryOfExperiment& history, bool all) {
  const bool few = all || history.series.size() <= kMostRows;
  std::vector<std::vector<std::string>> rows;
  for (const HistorySeries& series : history.series) {
    if (few || !series.changes.empty()) rows.push_back(row_of(series));
  }
  return rows;
}

/// Every change: "slower +5.1% from d4e5f6a (2026-02-03), 3 results ago: none, …: 0.812 → 0.853 …".
std::vector<std::string> changes_of(const HistoryOfExperiment& history) {
  std::vector<std::string> lines;
  for (const HistorySeries& series : history.series) {
    for (const ChangePoint& change : series.changes) {
      const std::size_t ago = series.values.size() - change.at;
      const bool newest = &change == &series.changes.back() && slowed_lately(series);
      lines.push_back(fmt::format(
          "{}{}: layer_ms of {}: {:.3f} → {:.3f} of {} from {} on, {} results ago, after {} (by chance: {:.2g})",
          newest ? "LATELY " : "", step_of(change), place_of(series.key), change.before, change.after,
          series.key.yardstick, result_of(history, series.places[change.at]), ago,
          result_of(history, series.places[change.at - 1]), change.chance));
    }
  }
  return lines;
}

std::string title_of(const HistoryOfExperiment& history) {
  const std::size_t count = history.commits.size();
  return printable(fmt::format("{} (config {}, {}): {} result{}, {} to {}", history.name, history.config_hash,
                               history.device, count, count == 1 ? "" : "s", result_of(history, 0),
                               result_of(history, count - 1)));
}

std::string note_of(const HistoryOfExperiment& history) {
  std::string note = "Course: layer_ms over its yardstick, oldest to newest.";
  const bool is_short = std::any_of(history.series.begin(), history.series.end(),
                                    [](const HistorySeries& series) { return series.is_short; });
  if (is_short) note += fmt::format(" At least {} results are needed to tell a change.", history.least_values);
  return note;
}

}  // namespace

std::string history_outcome(const std::vector<HistoryOfExperiment>& history) {
  std::size_t series = 0, slowed = 0, too_few = 0;
  for (const HistoryOfExperiment& experiment : history) {
    for (const HistorySeries& one : experiment.series) {
      ++series;
      slowed += slowed_lately(one);
      too_few += one.is_short;
    }
  }
  if (slowed > 0) return fmt::format("slower lately: {} of {} times", slowed, series);
  if (too_few == series) return fmt::format("too few results to tell: {} times", series);
  return fmt::format("no slow-down found in the newest {} results: {} times{}", kRecentResults, series,
                     too_few > 0 ? fmt::format(", of which {} have too few results to tell", too_few) : "");
}

std::string history_text(const std::vector<HistoryOfExperiment>& history, bool all) {
  std::string text;
  for (const HistoryOfExperiment& experiment : history) {
    text += wrap(title_of(experiment), 0, 2);
    const auto rows = rows_of(experiment, all);
    if (!rows.empty()) {
      Table table(kHeads);
      for (std::size_t column = 1; column < kHeads.size(); ++column) table.keep(column);
      for (const auto& row : rows) table.add_row(row);
      text += table.render();
    }
    text += wrap(note_of(experiment), 2);
    for (const std::string& change : changes_of(experiment)) text += wrap("- " + printable(change), 2, 2);
    text += "\n";
  }
  return text + history_outcome(history) + "\n";
}

std::string history_markdown(const std::vector<HistoryOfExperiment>& history, bool all) {
  std::string text = "### tatr-sim: " + history_outcome(history) + "\n";
  for (const HistoryOfExperiment& experiment : history) {
    text += "\n#### " + markdown_text(title_of(experiment)) + "\n\n";
    const auto rows = rows_of(experiment, all);
    if (!rows.empty()) text += markdown_table(kHeads, "|:--|--:|--:|--:|--:|:--|:--|", rows);
    text += "\n" + note_of(experiment) + "\n\n";
    for (const std::string& change : changes_of(experiment)) text += "- " + markdown_text(change) + "\n";
  }
  return text;
}

}  // namespace tatr
