// The first screen of a run of several experiments: a line each, the largest gains first.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "analysis/worth.hpp"
#include "core/format.hpp"
#include "model/modelled_device.hpp"
#include "records/metric_catalogue.hpp"
#include "report/first_screen.hpp"

namespace tatr {
namespace {

struct ExperimentLine {
  const ExperimentRecord* experiment = nullptr;
  Worth worth;
  const NetworkRecord* best =
      nullptr;  // within the limit of quality; without estimates the fastest; null: there is none
  std::optional<Interval> gain;
};

ExperimentLine line_of(const ExperimentRecord& experiment, const Environment& environment) {
  ExperimentLine line;
  line.experiment = &experiment;
  line.worth = worth_of(experiment, environment);
  line.best = line.worth.within;
  if (line.worth.estimates == Estimates::kNone) line.best = line.worth.fastest;
  if (line.best != nullptr) line.gain = gain_over_cheapest(experiment, *line.best, line.worth.kind);
  return line;
}

/// What all names begin with, up to the bracket in which a sweep names its values; else nothing.
std::string common_base(const std::vector<ExperimentLine>& lines) {
  const std::string& first = lines.front().experiment->config.name;
  const std::size_t bracket = first.find(" (");
  if (bracket == std::string::npos) return {};
  const std::string base = first.substr(0, bracket + 2);
  const bool shared = std::all_of(lines.begin(), lines.end(), [&](const ExperimentLine& line) {
    return line.experiment->config.name.starts_with(base) && line.experiment->config.name.ends_with(')');
  });
  return shared ? base : std::string();
}

/// {"kind":"lognormal","sigma":0.5} -> lognormal,sigma:0.5
std::string without_marks(std::string value) {
  for (const char* mark : {"\"kind\":", "{", "}", "\""}) {
    for (std::size_t at = 0; (at = value.find(mark)) != std::string::npos;) value.erase(at, std::strlen(mark));
  }
  return value;
}

/// "sweep (router/experts=64, seed=1)" -> "experts=64, seed=1", where all begin with the same base.
std::string brief_name(const std::string& name, const std::string& base) {
  if (base.empty()) return name;
  std::string rest = name.substr(base.size(), name.size() - base.size() - 1), brief;
  for (std::size_t begin = 0; begin < rest.size();) {
    const std::size_t end = std::min(rest.find(", ", begin), rest.size());
    const std::string part = rest.substr(begin, end - begin);
    const std::size_t equals = part.find('=');
    const std::size_t slash = equals == std::string::npos ? equals : part.rfind('/', equals);
    brief += (brief.empty() ? "" : ", ") + without_marks(slash == std::string::npos ? part : part.substr(slash + 1));
    begin = end + 2;
  }
  return brief;
}

const NetworkRecord* plain_of(const ExperimentRecord& experiment) {
  const auto plain = std::find_if(experiment.network.begin(), experiment.network.end(),
                                  [](const NetworkRecord& one) { return one.kind == StrategyKind::kNone; });
  return plain == experiment.network.end() ? nullptr : &*plain;
}

std::string quality_words(const NetworkRecord& network) {
  return network.quality.post_hoc ? format_change(network.quality.post_hoc->value) : std::string(kAbsent);
}

/// Of several kinds each cell says which it is.
std::string gain_cell(const ExperimentLine& line, bool mixed) {
  if (!line.gain) return kAbsent;
  const std::string value = fmt::format("{:.2f}×", line.gain->value);
  if (!mixed) return value;
  return value + (line.worth.kind == GainKind::kMeasured   ? " measured"
                  : line.worth.kind == GainKind::kModelled ? " modelled"
                  : trains(*line.experiment)               ? " by rows"
                                                           : " tiles");
}

/// Whether gains are of one kind, so that a head can name it.
bool same_kind(const ExperimentLine& a, const ExperimentLine& b) {
  return a.worth.kind == b.worth.kind &&
         (a.worth.kind != GainKind::kTiles || trains(*a.experiment) == trains(*b.experiment));
}

std::string gain_heads(const std::vector<ExperimentLine>& lines, bool mixed) {
  if (mixed) return "Gain";
  switch (lines.front().worth.kind) {
    case GainKind::kMeasured:
      return "Speed-up";
    case GainKind::kModelled:
      return "Modelled speed-up";
    case GainKind::kTiles:
      return rows_name(trains(*lines.front().experiment));
  }
  return {};
}

std::vector<std::string> row_of(const ExperimentLine& line, const std::string& base, bool mixed) {
  const NetworkRecord* plain = plain_of(*line.experiment);
  std::vector<std::string> cells = {brief_name(line.experiment->config.name, base),
                                    plain != nullptr ? format_value(mean_of(*plain, "tiles")) : kAbsent,
                                    plain != nullptr ? format_percent(mean_of(*plain, "tile_utilisation")) : kAbsent};
  if (line.best == nullptr) {
    cells.insert(cells.end(), 4, kAbsent);
    return cells;
  }
  const bool several = line.experiment->config.tiles.size() > 1 && !line.best->own_tiles;
  cells.push_back(shorten(line.best->label, 14) + (several ? fmt::format(" at {}", line.best->tile) : ""));
  cells.push_back(gain_cell(line, mixed));
  cells.push_back(format_percent(mean_of(*line.best, "dropped_share")));
  cells.push_back(quality_words(*line.best));
  return cells;
}

std::string experiments_table(const std::vector<ExperimentLine>& lines, std::size_t most, const TextOptions& options) {
  const std::string base = common_base(lines);
  const bool mixed = std::any_of(lines.begin(), lines.end(),
                                 [&](const ExperimentLine& line) { return !same_kind(line, lines.front()); });
  const std::size_t shown = std::min(lines.size(), most);
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < shown; ++i) rows.push_back(row_of(lines[i], base, mixed));
  const std::vector<std::string> heads = {"Experiment", "Tiles",     "Util.", "Best", gain_heads(lines, mixed),
                                          "Dropped",    "Perplexity"};
  const std::size_t left = lines.size() - shown;
  return one_block(heads, std::move(rows)) +
         (left > 0 ? more_line(fmt::format("  ... {} more", left), options, "--format table") : "");
}

/// How far to trust the estimates that the table shows: each way once.
std::string reach_lines(const std::vector<ExperimentLine>& lines) {
  std::set<std::string> ways;
  for (const ExperimentLine& line : lines) {
    const bool estimated = line.best != nullptr && line.best->quality.post_hoc;
    if (estimated && !line.experiment->reach.empty()) ways.insert(line.experiment->reach);
  }
  std::string text;
  for (const std::string& way : ways) text += wrap("Perplexity, its [90%]: " + way + ".", 2);
  return text;
}

/// The most frequent first: by how many experiments have it.
std::string warnings_of_all(const RunRecord& run, const TextOptions& options) {
  constexpr std::size_t kShown = 3;
  std::map<std::string, std::size_t> times;
  for (const ExperimentRecord& experiment : run.experiments) {
    for (const std::string& warning : experiment.warnings) ++times[warning];
  }
  std::vector<std::pair<std::string, std::size_t>> sorted(times.begin(), times.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (std::size_t i = 0; i < std::min(sorted.size(), kShown); ++i) {
    const auto& [warning, count] = sorted[i];
    text += wrap(shorten(fmt::format("Warning, {} of {} experiments: {}", count, run.experiments.size(), warning),
                         2 * report_width() - 8),
                 0, 2);
  }
  if (sorted.size() > kShown) text += more_warnings(sorted.size() - kShown, options);
  return text;
}

std::string place_words(const RunRecord& run) {
  const std::optional<GpuModel>& model = run.experiments.front().model;
  const bool same = std::all_of(run.experiments.begin(), run.experiments.end(), [&](const ExperimentRecord& one) {
    return one.model.has_value() == model.has_value() && (!model || one.model->id == model->id);
  });
  if (model && same) return fmt::format("times of {}: {}", modelled_name(*model), error_words(*model));
  return run.environment.device == "cpu" ? "this CPU: " + run.environment.cpu : run.environment.device;
}

}  // namespace

std::string overview_of_many(const RunRecord& run, const TextOptions& options, std::size_t lines) {
  std::vector<ExperimentLine> rows;
  std::string failed;
  for (const ExperimentRecord& experiment : run.experiments) {
    if (experiment.error) {
      const std::string& name = experiment.config.name;
      failed +=
          wrap("Not finished: " + (experiment.error->starts_with(name) ? "" : name + ": ") + *experiment.error, 0, 2);
    } else {
      rows.push_back(line_of(experiment, run.environment));
    }
  }
  std::string text = heading(fmt::format("{} experiments", run.experiments.size()), options) + failed +
                     wrap(first_upper(place_words(run)) + ".", 0, 2);
  if (rows.empty()) return text;
  std::stable_sort(rows.begin(), rows.end(), [](const ExperimentLine& a, const ExperimentLine& b) {
    return (a.gain ? a.gain->value : 0) > (b.gain ? b.gain->value : 0);
  });
  const bool several = std::any_of(rows.begin(), rows.end(),
                                   [](const ExperimentLine& line) { return has_several_tiles(*line.experiment); });
  const std::string end =
      wrap(
          fmt::format("Tiles, util. (utilisation): of plain top-k. Best: the fastest whose estimate stays within {} of "
                      "perplexity (-: none does); where nothing is estimated, the fastest.{}",
                      fmt::format("{:+.2g}%", 100 * kPerplexityLimit),
                      several ? " Of several tiles gains are over `none` at the tile where it costs least." : ""),
          2) +
      reach_lines(rows) + "\n" + warnings_of_all(run, options);
  const auto count = [](const std::string& part) {
    return static_cast<std::size_t>(std::count(part.begin(), part.end(), '\n'));
  };
  const std::size_t others = count(text + end + more_line("  ... 9999 more", options, "--format table")) + 3;
  return text + "\n" + experiments_table(rows, std::max(lines > others ? lines - others : 0, kFewestRows), options) +
         end;
}

}  // namespace tatr
