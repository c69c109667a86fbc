// The first screen of an experiment: what each strategy buys, what it costs, and a verdict in a sentence.
#include "report/first_screen.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "analysis/worth.hpp"
#include "core/format.hpp"
#include "model/modelled_device.hpp"
#include "model/tile_cost.hpp"
#include "quality/calibration.hpp"
#include "records/metric_catalogue.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

std::string shape_line(const TextContext& context) {
  const ExperimentConfig& config = context.experiment.config;
  std::string text;
  if (!context.experiment.routing.empty()) {
    const RoutingRecord& routing = context.experiment.routing.front();
    text = fmt::format("{} tokens, {} experts, top-{}", format_count(routing.tokens), format_count(routing.experts),
                       routing.top_k);
    if (context.layered()) text += fmt::format(", {} layers", context.experiment.routing.size());
    text += fmt::format(", tile {}; ", tile_list(config.tiles));
  }
  text += source_words(config.router.source) + fmt::format("; seed {}.", config.seed);
  if (config.parallel) text += fmt::format(" {} (--show ranks).", first_upper(parallel_words(*config.parallel)));
  if (const std::string masked = masked_words(context.experiment.routing); !masked.empty()) {
    text += " Masked: " + masked + ".";
  }
  if (!context.networks.empty() && context.networks.front().batches) {
    text += fmt::format(" Means of {} groups.", context.networks.front().batches->groups.size());
  }
  return wrap(text, 0, 2);
}

const LayerTiming* first_timing(const TextContext& context) {
  for (const NetworkRecord& network : context.networks) {
    if (network.layer_ms && context.first(network).timing) return &*context.first(network).timing;
  }
  return nullptr;
}

/// What was timed, how and where; or what stands in for times.
std::string times_line(const TextContext& context, GainKind kind) {
  const LayerTiming* timing = first_timing(context);
  if (timing == nullptr) {
    return wrap(trains(context.experiment)
                    ? "Nothing is timed. By rows: of whole tiles, and of whole steps of weight gradients."
                    : "Nothing is timed: tile ratios are of rows of whole tiles.",
                0, 2);
  }
  std::string text = first_upper(timing_heading(*timing));
  if (kind == GainKind::kModelled) {
    const GpuModel& gpu = *context.experiment.model;
    return wrap(fmt::format("{}. Times: {} ({}); intervals of 90 %.", text, modelled_name(gpu), error_words(gpu)), 0,
                2);
  }
  const std::size_t samples = timing->layer_ms.samples.size();
  text += fmt::format(", measured on {}, median of {}.",
                      kind == GainKind::kMeasured ? context.environment.device : "this CPU: " + context.environment.cpu,
                      samples);
  if (kind == GainKind::kTiles) {
    text += " A CPU has no tiles: its time ratio is no speed-up of a GPU. ";
    text += trains(context.experiment) ? "By rows is about the most that a GPU gains, forward and backward together; "
                                         "no GPU is modelled for training."
                                       : "The tile ratio is about the most that a GPU gains; --device model:h100 "
                                         "models one.";
  }
  return wrap(text, 0, 2);
}

/// Where there are several tiles, a column beside the tile says that its ratios are not over the fastest `none`.
std::string gain_head(GainKind kind, bool several_tiles, bool training) {
  if (several_tiles && kind != GainKind::kTiles) return "Over none, same tile";
  switch (kind) {
    case GainKind::kMeasured:
      return "Speed-up [95%]";
    case GainKind::kModelled:
      return "Modelled speed-up";  // within the width of its cells; times_line says of what intervals
    case GainKind::kTiles:
      return rows_name(training);
  }
  return {};
}

std::string gain_words(const std::optional<Interval>& gain) {
  if (!gain) return kAbsent;
  return gain->low == gain->high ? fmt::format("{:.2f}×", gain->value)
                                 : format_ratio(gain->value, gain->low, gain->high);
}

std::string cpu_ratio_words(const TextContext& context, const NetworkRecord& network) {
  const auto& timing = context.first(network).timing;
  if (context.layered()) return speedup_cell(network.speedup);
  return timing && timing->speedup ? fmt::format("{:.2f}×", timing->speedup->value) : kAbsent;
}

/// Of one way of a training pass; its interval is in the section on passes.
std::string way_words(const TextContext& context, const NetworkRecord& network, TimingSeries LayerTiming::*way,
                      std::optional<RatioInterval> LayerTiming::*ratio) {
  if (context.layered()) return speedup_cell(way_speedup(context.experiment, network, way));
  const auto& timing = context.first(network).timing;
  return timing && (*timing).*ratio ? fmt::format("{:.2f}×", ((*timing).*ratio)->value) : kAbsent;
}

std::string change_words(const PerplexityEstimate& estimate) {
  if (estimate.low == estimate.high) return format_change(estimate.value);
  return fmt::format("{} [{}, {}]", format_change(estimate.value), format_change(estimate.low),
                     format_change(estimate.high));
}

/// An asterisk where no measurement had such a setting. What changes nothing costs nothing: 0.
std::string estimate_words(const NetworkRecord& network) {
  if (network.quality.post_hoc) {
    const bool beyond = network.kind != StrategyKind::kNone && !network.quality.beyond.empty();
    return change_words(*network.quality.post_hoc) + (beyond ? "*" : "");
  }
  return shorten(network.quality.why_not.substr(0, network.quality.why_not.find(':')), 22);
}

/// Of what changes anything: what changes nothing costs nothing, though nothing is known of the others. The table of
/// main figures (result_tables.cpp) and the page (page/data.js) have the same rule.
bool any_estimate(const TextContext& context) {
  return std::any_of(context.networks.begin(), context.networks.end(), [](const NetworkRecord& network) {
    return (network.metrics.dropped > 0 || network.metrics.added > 0) && network.quality.post_hoc;
  });
}

/// The table's columns after the strategy's name.
struct OverviewColumn {
  std::string head;
  std::function<std::string(const NetworkRecord&)> cell;
};

std::vector<OverviewColumn> overview_columns(const TextContext& context, GainKind kind) {
  std::vector<OverviewColumn> columns;
  if (tiles_of(context).size() > 1) {
    columns.push_back({"Tile", [](const NetworkRecord& network) {
                         return network.own_tiles ? std::string("by load") : std::to_string(network.tile);
                       }});
  }
  columns.push_back({"Tiles", [](const NetworkRecord& network) { return format_value(mean_of(network, "tiles")); }});
  columns.push_back({gain_head(kind, has_several_tiles(context.experiment), trains(context.experiment)),
                     [&context, kind](const NetworkRecord& network) {
                       return gain_words(gain_of(context.experiment, network, kind));
                     }});
  if (kind == GainKind::kMeasured && trains(context.experiment)) {
    columns.push_back({"Forward", [&context](const NetworkRecord& network) {
                         return way_words(context, network, &LayerTiming::forward_ms, &LayerTiming::forward_speedup);
                       }});
    columns.push_back({"Backward", [&context](const NetworkRecord& network) {
                         return way_words(context, network, &LayerTiming::backward_ms, &LayerTiming::backward_speedup);
                       }});
  }
  if (kind == GainKind::kTiles && first_timing(context) != nullptr) {
    columns.push_back(
        {"CPU time", [&context](const NetworkRecord& network) { return cpu_ratio_words(context, network); }});
  }
  columns.push_back(
      {"Dropped", [](const NetworkRecord& network) { return format_percent(mean_of(network, "dropped_share")); }});
  if (any_estimate(context)) {
    columns.push_back({"Perplexity [90%]", estimate_words});
  } else if (context.networks.front().metrics.known >= Known::kGates) {
    columns.push_back({"Lost gate mass", [](const NetworkRecord& network) {
                         return format_value(mean_of(network, "dropped_gate_mass"));
                       }});
  }
  return columns;
}

/// At most `most` of them: `none`, what the verdict names, and then the cheapest.
std::vector<const NetworkRecord*> chosen_rows(const TextContext& context, const Worth& worth, std::size_t most) {
  std::vector<const NetworkRecord*> rows;
  for (const NetworkRecord& network : context.networks) rows.push_back(&network);
  const auto rank = [&](const NetworkRecord* network) {
    if (network->kind == StrategyKind::kNone) return 0;
    return network == worth.fastest || network == worth.within || network == worth.gentlest ? 1 : 2;
  };
  const auto cost = [&](const NetworkRecord* network) {
    return worth.kind == GainKind::kTiles ? rows_of_pass(context.experiment, *network) : network->layer_ms.value_or(0);
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const NetworkRecord* a, const NetworkRecord* b) {
    return rank(a) != rank(b) ? rank(a) < rank(b) : cost(a) < cost(b);
  });
  rows.resize(std::min(rows.size(), most));
  std::sort(rows.begin(), rows.end());  // as they are in the config
  return rows;
}

std::string strategies_table(const TextContext& context, const Worth& worth,
                             const std::vector<const NetworkRecord*>& chosen) {
  const std::vector<OverviewColumn> columns = overview_columns(context, worth.kind);
  std::vector<std::string> heads = {"Strategy"};
  for (const OverviewColumn& column : columns) heads.push_back(column.head);
  std::vector<std::vector<std::string>> rows;
  for (const NetworkRecord* network : chosen) {
    std::vector<std::string>& cells = rows.emplace_back(1, network->label);
    for (const OverviewColumn& column : columns) cells.push_back(column.cell(*network));
  }
  const std::size_t left = context.networks.size() - chosen.size();
  return one_block(heads, std::move(rows)) +
         (left > 0 ? more_line(fmt::format("  ... {} more, slower", left), context.options, "--show counts") : "");
}

std::string named(const TextContext& context, const NetworkRecord& network) {
  const std::string tile =
      network.own_tiles || tiles_of(context).size() < 2 ? "" : fmt::format(" at tile {}", network.tile);
  return "`" + shorten(network.label, 32) + "`" + tile;
}

/// Of a training pass the estimate for a model that is trained with the strategy, as far as there is one.
const PerplexityEstimate* trained_estimate(const TextContext& context, const NetworkRecord& network) {
  const bool suits = trains(context.experiment) && network.kind != StrategyKind::kNone && network.quality.trained;
  return suits ? &*network.quality.trained : nullptr;
}

bool any_trained_estimate(const TextContext& context) {
  return std::any_of(context.networks.begin(), context.networks.end(),
                     [&](const NetworkRecord& network) { return trained_estimate(context, network) != nullptr; });
}

/// Of a tile ratio, whose column is too narrow to say it: over what.
std::string ratio_line(const TextContext& context, GainKind kind) {
  if (kind != GainKind::kTiles || !has_several_tiles(context.experiment)) return {};
  return wrap(rows_name(trains(context.experiment)) + ": over `none` at the same tile.", 2);
}

/// How far to trust the interval.
std::string reach_line(const TextContext& context) {
  const std::string& words = context.experiment.reach;
  return !any_estimate(context) || words.empty() ? "" : wrap("Perplexity [90%]: " + words + ".", 2);
}

/// Why there is no estimate for any, or what marked ones lack.
std::string estimate_line(const TextContext& context) {
  std::string why, beyond;
  for (const NetworkRecord& network : context.networks) {
    if (network.kind == StrategyKind::kNone) continue;
    if (why.empty()) why = network.quality.why_not;
    for (const std::string& what : network.quality.beyond) {
      if (beyond.find(what) == std::string::npos) beyond += (beyond.empty() ? "" : "; ") + what;
    }
  }
  if (!any_estimate(context)) {
    const bool other = why.starts_with("not calibrated");
    return why.empty() ? why
                       : wrap(std::string("Perplexity ") +
                                  (any_trained_estimate(context)
                                       ? "of a model trained with plain top-k, rounded at evaluation, "
                                       : "") +
                                  "is not estimated: " + why + (other ? " (--calibration takes your own)." : "."),
                              2);
  }
  return beyond.empty() ? beyond : wrap("*: beyond what the estimate is calibrated on: " + beyond + ".", 2);
}

/// What suits a training pass: of models that were trained with the strategy. Of the rows that the table shows.
std::string trained_line(const TextContext& context, const std::vector<const NetworkRecord*>& shown) {
  if (!any_trained_estimate(context)) return {};
  std::vector<std::string> changes;
  std::string source;
  for (const NetworkRecord* network : shown) {
    const PerplexityEstimate* estimate = trained_estimate(context, *network);
    if (estimate == nullptr) continue;
    changes.push_back(named(context, *network) + " " + change_words(*estimate));
    source = estimate->calibration;
  }
  if (changes.empty()) return wrap("Perplexity, trained with the strategy: --show quality.", 2);
  return wrap(
      fmt::format("{}Trained with the strategy, evaluated without it ({}): {}.",
                  any_estimate(context) ? "Perplexity [90%]: trained with plain top-k, rounded at evaluation. " : "",
                  source, fmt::join(changes, "; ")),
      2);
}

/// What the gain of a training pass is of, and what it cannot be.
std::string passes_line(const TextContext& context, GainKind kind) {
  if (!trains(context.experiment)) return {};
  const std::string ways = kind == GainKind::kMeasured ? "Speed-up: of forward and backward together. " : "";
  return wrap(ways + fmt::format("Weight gradients run over rows in steps of {}: whole tiles save there the rest of a "
                                 "step, not of a tile. --show passes has both ways.",
                                 kReductionStep),
              2);
}

/// "`none` at tile 64, its fastest"; of one tile "`none`".
std::string base_words(const TextContext& context, const Worth& worth) {
  if (!has_several_tiles(context.experiment) || worth.base == nullptr) return "`none`";
  return fmt::format("`none` at tile {}, {}", worth.base->tile,
                     worth.kind == GainKind::kTiles ? "which has the fewest" : "its fastest");
}

/// What stands for time: in weight gradients rows of whole steps.
std::string rows_words(const TextContext& context) {
  return trains(context.experiment) ? "rows of tiles and steps" : "rows of tiles";
}

/// "1.20× [1.18, 1.22] (modelled)"; of several tiles also over what.
std::string gain_phrase(const TextContext& context, const NetworkRecord& network, const Worth& worth) {
  const bool several = has_several_tiles(context.experiment);
  std::string gain = gain_words(gain_over_cheapest(context.experiment, network, worth.kind));
  if (worth.kind == GainKind::kTiles) {
    return gain + " fewer " + rows_words(context) + (several ? " than " + base_words(context, worth) + "," : "");
  }
  if (worth.kind == GainKind::kModelled) {
    const std::string doubt = doubt_of(*context.experiment.model);
    gain += " (modelled" + (doubt.empty() ? "" : "; " + doubt) + ")";
  }
  return several ? gain + " over " + base_words(context, worth) + "," : gain;
}

/// "`quarter`: 1.20× [1.18, 1.22] (modelled) for -0.02% [-0.09%, +0.05%] of perplexity"
std::string sentence(const TextContext& context, const NetworkRecord& network, const Worth& worth) {
  const bool training = trains(context.experiment);
  std::string cost =
      worth.estimates == Estimates::kNone
          ? format_percent(mean_of(network, "dropped_share")) + " of assignments dropped"
          : change_words(*network.quality.post_hoc) + " of perplexity" + (training ? ", rounded at evaluation" : "");
  if (const PerplexityEstimate* trained = trained_estimate(context, network)) {
    cost += fmt::format(" (trained with it {}{})", change_words(*trained),
                        worth.estimates == Estimates::kNone ? " of perplexity" : "");
  }
  return fmt::format("{}: {} for {}", named(context, network), gain_phrase(context, network, worth), cost);
}

std::string verdict_words(const TextContext& context, const Worth& worth) {
  const std::string limit = fmt::format("{:+.2g}%", 100 * kPerplexityLimit);
  if (!worth.has_base) return "speed-ups are against `none`, which is not among the strategies: none can be told.";
  if (worth.fastest == nullptr) {
    return worth.kind == GainKind::kTiles
               ? "no strategy has fewer " + rows_words(context) + " than " + base_words(context, worth) + "."
               : "no strategy is surely faster than " + base_words(context, worth) + ".";
  }
  std::string text;
  if (worth.within != nullptr) {
    text = sentence(context, *worth.within, worth) +
           fmt::format(", the fastest within {}, the limit of this verdict (advise takes yours).", limit);
  } else if (worth.estimates != Estimates::kNone) {
    text = fmt::format("nothing faster than `none` surely stays within {} of perplexity; nearest to it is {}.", limit,
                       sentence(context, *worth.gentlest, worth));
  } else {
    text = sentence(context, *worth.fastest, worth) + ", the fastest.";
    if (worth.gentlest != worth.fastest) text += " Dropping least: " + sentence(context, *worth.gentlest, worth) + ".";
    if (trained_estimate(context, *worth.fastest) == nullptr) {
      const bool other = worth.gentlest != worth.fastest && trained_estimate(context, *worth.gentlest) != nullptr;
      text += fmt::format(" What {} costs in perplexity is not estimated.",
                          other ? named(context, *worth.fastest) : "that");
    }
  }
  return text + (worth.estimates == Estimates::kBeyond ? " The estimate's calibration does not cover it (*)." : "");
}

/// The first few, and how many more there are.
std::string warning_lines(const TextContext& context) {
  constexpr std::size_t kShown = 2;
  const std::vector<std::string> warnings = warnings_of(context.experiment);
  std::string text;
  for (std::size_t i = 0; i < std::min(warnings.size(), kShown); ++i) {
    text += wrap(shorten("Warning: " + warnings[i], 2 * report_width() - 8), 0, 2);
  }
  if (warnings.size() > kShown) {
    text += more_warnings(warnings.size() - kShown, context.options);
  }
  return text;
}

/// A command's words, still in their quotes.
std::vector<std::string> shell_words(const std::string& command) {
  std::vector<std::string> words(1);
  bool quoted = false;
  for (const char c : command) {
    if (c == '\'') quoted = !quoted;
    if (c == ' ' && !quoted) {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

std::size_t lines_in(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

std::string rows_name(bool training) { return training ? "By rows" : "Tile ratio"; }

std::string one_block(const std::vector<std::string>& heads, std::vector<std::vector<std::string>> rows) {
  std::size_t beside = 2;
  for (std::size_t column = 1; column < heads.size(); ++column) {
    std::size_t widest = display_width(heads[column]);
    for (const auto& row : rows) widest = std::max(widest, display_width(row[column]));
    beside += 2 + widest;
  }
  const std::size_t names = std::clamp<std::size_t>(report_width() - std::min(report_width(), beside), 8, 48);
  Table table(heads);
  for (std::size_t column = 1; column < heads.size(); ++column) table.keep(column);
  for (std::vector<std::string>& row : rows) {
    row.front() = shorten(row.front(), names);
    table.add_row(std::move(row));
  }
  return table.render();
}

std::string more_warnings(std::size_t count, const TextOptions& options) {
  return more_line(fmt::format("... {} more warning{}", count, count == 1 ? "" : "s"), options, "--show warnings");
}

std::string more_line(const std::string& what, const TextOptions& options, const std::string& option) {
  const std::string command = options.command + (options.command.empty() ? "" : " ") + option;
  if (display_width(what + ": " + command) <= report_width()) return what + ": " + command + "\n";
  std::string text = what + ":\n", line = "   ";
  for (const std::string& word : shell_words(command)) {
    if (line.size() > 4 && display_width(fmt::format("{} {} \\", line, word)) > report_width()) {
      text += line + " \\\n";
      line = "     ";
    }
    line += " " + word;
  }
  return text + line + "\n";
}

std::string verdict_section(const TextContext& context) {
  if (context.networks.empty() || context.experiment.error) return {};
  const std::string words = verdict_words(context, worth_of(context.experiment, context.environment));
  const std::string line = wrap("Verdict: " + words, 0, 2);
  return context.options.colour ? "\x1b[1m" + line.substr(0, line.size() - 1) + "\x1b[0m\n" : line;
}

std::string overview(const TextContext& context, std::size_t lines) {
  const ExperimentRecord& experiment = context.experiment;
  const Worth worth = worth_of(experiment, context.environment);
  const std::string title = shorten(experiment.config.name, report_width());
  std::string head = (context.options.colour ? "\x1b[1m" + title + "\x1b[0m" : title) + "\n" + shape_line(context);
  if (experiment.error) return head + wrap("Not finished: " + *experiment.error, 0, 2);
  head += times_line(context, worth.kind) + "\n";
  const std::string end = "\n" + verdict_section(context) + warning_lines(context);
  const auto screen_of = [&](std::size_t most) {
    const std::vector<const NetworkRecord*> rows = chosen_rows(context, worth, most);
    return head + strategies_table(context, worth, rows) + ratio_line(context, worth.kind) + estimate_line(context) +
           reach_line(context) + trained_line(context, rows) + passes_line(context, worth.kind) + end;
  };
  std::size_t most = std::max(std::min(context.networks.size(), lines), kFewestRows);
  std::string screen = screen_of(most);
  while (lines_in(screen) > lines && most > kFewestRows) screen = screen_of(--most);
  return screen;
}

}  // namespace tatr
