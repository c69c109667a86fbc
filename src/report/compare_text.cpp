#include "report/compare_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/format.hpp"
#include "report/markdown.hpp"

namespace tatr {
namespace {

constexpr std::size_t kMostLines = 50;  // of layer times, and of findings, unless all are asked for

std::string change_name(const MetricChange& metric) {
  return metric.change ? kChangeNames[static_cast<std::size_t>(*metric.change)] : "not judged";
}

/// "nearest, tile 128, layer 3", or nothing for a metric of the experiment.
std::string place_of(const MetricChange& metric) {
  if (metric.label.empty()) return {};
  return fmt::format("{}, tile {}, layer {}", metric.label, metric.tile ? std::to_string(*metric.tile) : "by load",
                     metric.layer);
}

const std::vector<std::string> kTimeHeads = {"Strategy",         "Tile",   "Layer", "BASE ms", "NEW ms",
                                             "NEW / BASE [95%]", "Verdict"};

std::vector<std::string> time_row(const MetricChange& metric) {
  const TimeChange& time = *metric.time;
  const std::string ratio =
      time.ratio ? fmt::format("{:.3f} [{:.3f}, {:.3f}]", time.ratio->value, time.ratio->low, time.ratio->high)
                 : kAbsent;
  return {shorten(metric.label, 24),    metric.tile ? std::to_string(*metric.tile) : "by load",
          std::to_string(metric.layer), format_value(time.base),
          format_value(time.next),      ratio,
          change_name(metric)};
}

const std::vector<std::string> kShownHeads = {"Strategy",
                                              "Tile",
                                              "Layer",
                                              "Tiles BASE",
                                              "Tiles NEW",
                                              "Utilisation BASE",
                                              "Utilisation NEW",
                                              "Lost gate mass BASE",
                                              "Lost gate mass NEW"};

/// Layer times to show: all, or, where those are too many, what is not the same.
std::vector<std::vector<std::string>> time_rows(const ExperimentComparison& experiment, bool all) {
  std::vector<const MetricChange*> times;
  for (const MetricChange& metric : experiment.metrics) {
    if (metric.metric == "layer_ms" && metric.time) times.push_back(&metric);
  }
  const bool few = all || times.size() <= kMostLines;
  std::vector<std::vector<std::string>> rows;
  for (const MetricChange* metric : times) {
    if (few || metric->change != Change::kSame) rows.push_back(time_row(*metric));
  }
  return rows;
}

/// What deserves a line each, regressions first; the rest of what is not the same is only counted.
struct Findings {
  std::vector<const MetricChange*> listed;
  std::size_t ambiguous = 0, more = 0;
};

Findings findings_of(const ExperimentComparison& experiment, const CompareTextOptions& options) {
  Findings findings;
  for (const MetricChange& metric : experiment.metrics) {
    if (!metric.change || (metric.change == Change::kSame && !options.all)) continue;
    if (metric.change == Change::kAmbiguous && !options.all && !options.strict) {
      ++findings.ambiguous;
    } else {
      findings.listed.push_back(&metric);
    }
  }
  std::stable_partition(findings.listed.begin(), findings.listed.end(),
                        [&](const MetricChange* metric) { return is_regression(*metric->change, options.strict); });
  if (!options.all && findings.listed.size() > kMostLines) findings.more = findings.listed.size() - kMostLines;
  findings.listed.resize(findings.listed.size() - findings.more);
  return findings;
}

/// What was only counted, and then the notes.
std::vector<std::string> remarks_of(const ExperimentComparison& experiment, const Findings& findings) {
  std::vector<std::string> remarks;
  if (findings.more > 0) remarks.push_back(fmt::format("and {} more; --all lists them", findings.more));
  if (findings.ambiguous > 0) {
    remarks.push_back(fmt::format("ambiguous: {} time{}; --all lists them, run --thorough may tell", findings.ambiguous,
                                  findings.ambiguous == 1 ? "" : "s"));
  }
  for (const std::string& note : experiment.notes) remarks.push_back("note: " + note);
  return remarks;
}

/// Figures that are not judged, beside each other: a row for each setting.
std::vector<std::vector<std::string>> shown_rows(const ExperimentComparison& experiment, bool all) {
  std::vector<std::vector<std::string>> rows;
  const MetricChange* last = nullptr;
  for (const MetricChange& metric : experiment.metrics) {
    if (!metric.shown) continue;
    const bool same_row = last != nullptr && last->label == metric.label && last->tile == metric.tile &&
                          last->layer == metric.layer && rows.back().size() < kShownHeads.size();
    if (!same_row) {
      if (!all && rows.size() == kMostLines) break;
      rows.push_back({shorten(metric.label, 24), metric.tile ? std::to_string(*metric.tile) : "by load",
                      std::to_string(metric.layer)});
    }
    for (const double value : {metric.shown->first, metric.shown->second}) {
      rows.back().push_back(metric.metric == "tiles" ? format_count(static_cast<std::int64_t>(value))
                                                     : format_percent(value));
    }
    last = &metric;
  }
  for (auto& row : rows) row.resize(kShownHeads.size(), kAbsent);
  return rows;
}

std::string title_of(const ExperimentComparison& experiment) {
  const std::string next = experiment.next_config_hash.empty() ? "" : " → " + experiment.next_config_hash;
  const std::string device = experiment.device.empty() ? "" : ", " + experiment.device;
  return printable(fmt::format("{} (config {}{}{})", experiment.name, experiment.config_hash, next, device));
}

constexpr const char* kShownNote = "Figures that do not follow from the same inputs: side by side, not judged.";
constexpr const char* kTimesNote =
    "NEW / BASE: of times over the yardstick of the same round. Times in ms are shown, not judged.";

std::string markdown_experiment(const ExperimentComparison& experiment, const CompareTextOptions& options) {
  std::string text = "\n#### " + markdown_text(title_of(experiment)) + "\n\n";
  const auto rows = time_rows(experiment, options.all);
  if (!rows.empty()) {
    text += markdown_table(kTimeHeads, "|:--|--:|--:|--:|--:|--:|:--|", rows);
    text += fmt::format("\n{}\n\n", kTimesNote);
  }
  const auto shown = shown_rows(experiment, options.all);
  if (!shown.empty()) {
    text += markdown_table(kShownHeads, "|:--|--:|--:|--:|--:|--:|--:|--:|--:|", shown);
    text += fmt::format("\n{}\n\n", kShownNote);
  }
  const Findings findings = findings_of(experiment, options);
  for (const MetricChange* metric : findings.listed) {
    const std::string place = place_of(*metric);
    text += fmt::format("- **{}**: `{}`{}: {}\n", change_name(*metric), metric->metric,
                        place.empty() ? "" : " of " + markdown_text(place), markdown_text(metric->reason));
  }
  for (const std::string& remark : remarks_of(experiment, findings)) text += "- " + markdown_text(remark) + "\n";
  return text;
}

std::string experiment_text(const ExperimentComparison& experiment, const CompareTextOptions& options) {
  std::string text = wrap(title_of(experiment));
  const auto rows = time_rows(experiment, options.all);
  if (!rows.empty()) {
    Table table(kTimeHeads);
    for (const std::size_t column : {1, 3, 4, 5, 6}) table.keep(column);
    for (const auto& row : rows) table.add_row(row);
    text += table.render() + wrap(kTimesNote, 2);
  }
  const auto shown = shown_rows(experiment, options.all);
  if (!shown.empty()) {
    Table table(kShownHeads);
    for (std::size_t column = 1; column < kShownHeads.size(); ++column) table.keep(column);
    for (const auto& row : shown) table.add_row(row);
    text += table.render() + wrap(kShownNote, 2);
  }
  const Findings findings = findings_of(experiment, options);
  for (const MetricChange* metric : findings.listed) {
    const std::string place = place_of(*metric);
    text += wrap(fmt::format("- {}: {}{}: {}", change_name(*metric), metric->metric,
                             place.empty() ? "" : " of " + place, metric->reason),
                 2, 2);
  }
  for (const std::string& remark : remarks_of(experiment, findings)) text += wrap("- " + remark, 2, 2);
  return text;
}

/// How many samples would tell nine in ten of the times that samples can tell. `needed` rises.
std::string advice_words(const std::vector<double>& needed) {
  if (needed.empty()) return "more samples would not tell";
  const std::size_t told = (needed.size() * 9 + 9) / 10;
  const auto samples = static_cast<std::int64_t>(std::max(std::ceil(needed[told - 1] / 10) * 10, 10.0));
  return fmt::format(
      "about {0} samples would tell {1} of them (run --set /measure/samples={0} --set /measure/precision=0)", samples,
      told);
}

/// What is known where nothing is slower or changed: no more than was judged.
std::string calm_words(const Comparison& comparison) {
  const std::size_t ambiguous = comparison.count(Change::kAmbiguous), missing = comparison.count(Change::kMissing);
  const std::size_t same_times = comparison.count_times(Change::kSame);
  const std::size_t exact = comparison.count(Change::kSame) - same_times;
  const std::size_t judged = same_times + comparison.count(Change::kFaster);
  std::string words;
  const auto is_shown = [](const MetricChange& metric) { return metric.shown || (metric.time && !metric.change); };
  const bool any_shown =
      std::any_of(comparison.experiments.begin(), comparison.experiments.end(),
                  [&](const auto& one) { return std::any_of(one.metrics.begin(), one.metrics.end(), is_shown); });
  if (exact + judged + ambiguous == 0) {
    words = any_shown ? "nothing could be judged, figures are side by side" : "nothing could be compared";
  } else if (judged + ambiguous == 0) {
    words = "integers and means are equal, no time was judged";
  } else if (ambiguous > judged) {
    const std::vector<double> needed = comparison.samples_needed();
    words = fmt::format("{}: {} of {} times are ambiguous; {}",
                        needed.empty() ? "too little could be told" : "not enough samples to tell", ambiguous,
                        judged + ambiguous, advice_words(needed));
  } else if (ambiguous > 0) {
    words = fmt::format("no regression found, but {} of {} times are ambiguous; {}", ambiguous, judged + ambiguous,
                        advice_words(comparison.samples_needed()));
  } else {
    words = missing == 0 ? "no regression" : "no regression in what both have";
  }
  return words;
}

}  // namespace

std::string outcome_line(const Comparison& comparison, bool strict) {
  std::string text = regressed(comparison, false) ? "regression" : calm_words(comparison);
  const char* joint = ": ";
  for (std::size_t i = 0; i < kChangeNames.size(); ++i) {
    const std::size_t count = comparison.count(static_cast<Change>(i));
    if (count == 0) continue;
    text += joint + format_count(static_cast<std::int64_t>(count)) + " " + kChangeNames[i];
    joint = ", ";
  }
  if (!strict) return text;
  const bool only_strictly = regressed(comparison, true) && !regressed(comparison, false);
  return text + (only_strictly ? " (refused: strict)" : " (strict)");
}

std::string comparison_text(const Comparison& comparison, const CompareTextOptions& options) {
  std::string text;
  for (const ExperimentComparison& experiment : comparison.experiments) {
    text += experiment_text(experiment, options) + "\n";
  }
  for (const std::string& note : comparison.notes) text += wrap(note, 0, 2);
  return text + outcome_line(comparison, options.strict) + "\n";
}

std::string comparison_markdown(const Comparison& comparison, const CompareTextOptions& options) {
  std::string text = "### tatr-sim: " + outcome_line(comparison, options.strict) + "\n";
  for (const ExperimentComparison& experiment : comparison.experiments) {
    text += markdown_experiment(experiment, options);
  }
  for (const std::string& note : comparison.notes) text += "\n- " + markdown_text(note) + "\n";
  return text;
}

namespace {

const std::vector<std::string> kResultHeads = {"NEW",       "Slower",  "Changed", "Faster",
                                               "Ambiguous", "Missing", "Same",    "Most NEW / BASE of layer_ms"};

/// "1.051 (nearest, tile 128, layer 0)" of the layer time that grew most.
std::string most_of(const Comparison& comparison) {
  const MetricChange* most = nullptr;
  for (const ExperimentComparison& experiment : comparison.experiments) {
    for (const MetricChange& metric : experiment.metrics) {
      if (metric.metric != "layer_ms" || !metric.time || !metric.time->ratio) continue;
      if (most == nullptr || metric.time->ratio->value > most->time->ratio->value) most = &metric;
    }
  }
  return most == nullptr ? kAbsent : fmt::format("{:.3f} ({})", most->time->ratio->value, place_of(*most));
}

std::vector<std::string> result_row(const NamedComparison& result) {
  std::vector<std::string> row = {result.file};
  for (const Change change :
       {Change::kSlower, Change::kChanged, Change::kFaster, Change::kAmbiguous, Change::kMissing, Change::kSame}) {
    row.push_back(format_count(static_cast<std::int64_t>(result.comparison.count(change))));
  }
  row.push_back(most_of(result.comparison));
  return row;
}

std::string worst_line(const std::vector<NamedComparison>& results, bool strict) {
  const NamedComparison& worst = results[worst_of(results, strict)];
  return fmt::format("worst of {}: {}: {}", results.size(), worst.file, outcome_line(worst.comparison, strict));
}

}  // namespace

std::size_t worst_of(const std::vector<NamedComparison>& results, bool strict) {
  const auto badness = [&](const NamedComparison& result) {
    if (regressed(result.comparison, false)) return 2;
    return regressed(result.comparison, strict) ? 1 : 0;
  };
  const auto worst = std::max_element(results.begin(), results.end(),
                                      [&](const auto& a, const auto& b) { return badness(a) < badness(b); });
  return static_cast<std::size_t>(worst - results.begin());
}

std::string comparisons_text(const std::vector<NamedComparison>& results, const CompareTextOptions& options) {
  if (results.size() == 1) return comparison_text(results[0].comparison, options);
  std::string text;
  Table table(kResultHeads);
  for (std::size_t column = 1; column < kResultHeads.size(); ++column) table.keep(column);
  for (const NamedComparison& result : results) {
    text += "NEW: " + printable(result.file) + "\n\n" + comparison_text(result.comparison, options) + "\n";
    std::vector<std::string> row = result_row(result);
    row[0] = shorten(row[0], 30);
    table.add_row(row);
  }
  return text + table.render() + printable(worst_line(results, options.strict)) + "\n";
}

std::string comparisons_markdown(const std::vector<NamedComparison>& results, const CompareTextOptions& options) {
  if (results.size() == 1) return comparison_markdown(results[0].comparison, options);
  std::string text = "## tatr-sim: " + markdown_text(worst_line(results, options.strict)) + "\n\n";
  std::vector<std::vector<std::string>> rows(results.size());
  std::transform(results.begin(), results.end(), rows.begin(), result_row);
  text += markdown_table(kResultHeads, "|:--|--:|--:|--:|--:|--:|--:|:--|", rows);
  for (const NamedComparison& result : results) {
    text += "\n## " + markdown_text(result.file) + "\n\n" + comparison_markdown(result.comparison, options);
  }
  return text;
}

}  // namespace tatr
