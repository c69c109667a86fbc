#include "report/advice_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "analysis/batches.hpp"
#include "analysis/gain.hpp"
#include "core/format.hpp"
#include "model/modelled_device.hpp"
#include "model/tile_cost.hpp"
#include "records/result_writer.hpp"
#include "report/text_sections.hpp"

namespace tatr {

namespace {

using Json = nlohmann::ordered_json;

std::string limit_words(const AdviceLimits& limits) {
  std::string words;
  const auto add = [&](const std::string& one) { words += (words.empty() ? "" : "; ") + one; };
  if (limits.perplexity) {
    add(fmt::format("estimated perplexity change at most {}, upper end of its [90%]",
                    format_change(*limits.perplexity)));
  }
  if (limits.dropped_mass) add("lost gate mass at most " + format_value(*limits.dropped_mass));
  if (limits.dropped_share) add("dropped share of assignments at most " + format_percent(*limits.dropped_share));
  if (limits.time_ms) add("time at most " + format_value(*limits.time_ms) + " ms");
  if (limits.time_share) add("time at most " + format_percent(*limits.time_share) + " of unrounded");
  return words;
}

std::string tile_words(const NetworkRecord& network) {
  return network.own_tiles ? "by load" : std::to_string(network.tile);
}

// In the order of AdviceCost.
constexpr const char* kCostNames[] = {"measured", "modelled_time", "modelled"};
constexpr const char* kCostHeads[] = {"ms", "ms", "Modelled cost"};
constexpr const char* kGainHeads[] = {"Speed-up [95%]", "Speed-up [90%]", "Speed-up"};

std::string cost_words(const Advice& advice, const ExperimentRecord& experiment) {
  switch (advice.cost) {
    case AdviceCost::kMeasured:
      return "ms: layer and rounding, medians; measured; speed-ups against plain top-k at its fastest tile, with the "
             "95 % interval of samples taken in turn";
    case AdviceCost::kModelled: {
      const ModelError& error = experiment.model->error;
      return fmt::format(
          "ms: modelled, not measured: layer and rounding on {}; {}. Speed-ups over plain top-k at its fastest tile, "
          "by "
          "the error of ratios: {:.2g} % at one tile, {:.2g} % across tiles{}",
          experiment.model->name, error_words(*experiment.model), 100 * error.of_ratio(true),
          100 * error.of_ratio(false), error.ratio_across_tiles ? "" : " (that of times)");
    }
    case AdviceCost::kTileRows:
      break;
  }
  if (advice.training) {
    return fmt::format(
        "Cost is modelled, not measured: rows of whole tiles, and in weight gradients of whole steps of {}, as if "
        "every row took the same time at any tile, against plain top-k at the tile that needs the fewest. On a GPU it "
        "is measured.",
        kReductionStep);
  }
  return "Cost is modelled, not measured: rows of whole tiles, as if every row took the same time at any tile, against "
         "plain top-k at the tile that needs the fewest. With a layer, on a GPU it is measured, and on a model of one "
         "it is a time.";
}

std::string cost_cell(const Advice& advice, const AdviceChoice& choice, int more_digits = 0) {
  if (!advice.in_ms()) return fmt::format("{:.{}f}%", 100 / choice.speedup, 1 + more_digits);
  if (more_digits == 0) return format_value(choice.cost);
  const int whole = static_cast<int>(std::floor(std::log10(choice.cost)));
  return fmt::format("{:.{}f}", choice.cost, std::max(2 + more_digits - whole, 0));
}

/// "1.21× [1.16, 1.26]", and "1.21×" of rows of tiles and of what is compared with itself.
std::string gain_words(const AdviceChoice& choice, int more_digits = 0) {
  const int digits = 2 + more_digits;
  const std::string value = fmt::format("{:.{}f}×", choice.speedup, digits);
  if (!choice.gain || choice.gain->low == choice.gain->high) return value;
  return fmt::format("{} [{:.{}f}, {:.{}f}]", value, choice.gain->low, digits, choice.gain->high, digits);
}

/// How many digits more than usual tell apart neighbours that differ, at most two.
template <class Cell>
int digits_that_tell(const std::vector<AdviceChoice>& rows, const Cell& cell) {
  for (int more = 0; more < 2; ++more) {
    const auto alike = [&](const AdviceChoice& a, const AdviceChoice& b) {
      return a.cost != b.cost && cell(a, more) == cell(b, more);
    };
    if (std::adjacent_find(rows.begin(), rows.end(), alike) == rows.end()) return more;
  }
  return 2;
}

/// How a config asks for it.
const std::string& strategy_text(const ExperimentRecord& experiment, const NetworkRecord& network) {
  return first_layer(experiment, network).strategy.canonical;
}

/// "budget among tiles; 4 layers in place of 6"
std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

/// What of a setting no measurement of the calibration had, in brackets; empty where all is covered.
std::string beyond_words(const NetworkRecord& network) {
  const auto& beyond = network.quality.beyond;
  return network.quality.post_hoc && !beyond.empty() ? fmt::format(" (not calibrated: {})", joined(beyond)) : "";
}

bool is_plain(const NetworkRecord& network) { return network.kind == StrategyKind::kNone; }

/// Reasons with the labels of those that they go for, each once, in order of appearance.
std::string reason_lines(const std::vector<std::pair<std::string, std::string>>& reasons, const std::string& title) {
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;
  for (const auto& one : reasons) {
    auto found =
        std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.first == one.first; });
    if (found == groups.end()) found = groups.insert(found, {one.first, {}});
    std::vector<std::string>& labels = found->second;
    if (std::find(labels.begin(), labels.end(), one.second) == labels.end()) labels.push_back(one.second);
  }
  std::string text;
  for (const auto& [reason, labels] : groups) {
    text += wrap(fmt::format("{}{} ({}).", title, reason, fmt::join(labels, ", ")), 2, 2);
  }
  return text;
}

/// The part of a reason before its colon: "out of range".
std::string brief_reason(const std::string& why) { return why.empty() ? "not told" : why.substr(0, why.find(':')); }

/// What the advice leaves out or marks, and why.
std::string reservations(const Advice& advice) {
  std::vector<std::pair<std::string, std::string>> missing, beyond;
  for (const NetworkRecord* network : advice.not_estimated) {
    missing.emplace_back(brief_reason(network->quality.why_not), network->label);
  }
  for (const AdviceChoice& choice : advice.front) {
    if (!choice.calibrated) beyond.emplace_back(joined(choice.network->quality.beyond), choice.network->label);
  }
  std::string text;
  if (!missing.empty()) {
    text += wrap(fmt::format("Left out: {} of {} settings, whose change of perplexity cannot be estimated:",
                             advice.not_estimated.size(), advice.candidates),
                 2) +
            reason_lines(missing, "- ");
  }
  return text + reason_lines(beyond, "*: not calibrated, never advised: ");
}

/// "modelled (datasheet, not validated)"
std::string how_words(const Advice& advice, const ExperimentRecord& experiment) {
  if (advice.cost == AdviceCost::kMeasured) return "measured";
  const std::string doubt = advice.cost == AdviceCost::kModelled ? doubt_of(*experiment.model) : std::string();
  return doubt.empty() ? "modelled" : "modelled (" + doubt + ")";
}

/// Over groups where there are several.
RoundingMetrics mean_of(const NetworkRecord& network) {
  return network.batches ? mean_over(network.batches->groups) : network.metrics;
}

/// Where there are several groups: what is of which.
std::string groups_line(const ExperimentRecord& experiment) {
  const auto& batches = experiment.network.front().batches;
  if (!batches) return {};
  return fmt::format(
      "over {} groups of tokens: quality is of their means; tiles and times are of group {}, which has the median of "
      "tiles",
      batches->groups.size(), batches->median_group);
}

std::string choice_text(const std::string& what, const Advice& advice, const AdviceChoice& choice,
                        const ExperimentRecord& experiment) {
  const NetworkRecord& network = *choice.network;
  const std::string lost =
      network.metrics.known >= Known::kGates
          ? fmt::format("perplexity {}{}, lost gate mass {}", perplexity_words(network.quality), beyond_words(network),
                        format_value(mean_of(network).dropped_gate_mass))
          : fmt::format("{} of assignments dropped", format_percent(mean_of(network).dropped_share));
  return wrap(fmt::format("{}: {}, tile {}, {} tiles: {} {}, {}", what, network.label, tile_words(network),
                          format_count(network.metrics.tiles), gain_words(choice), how_words(advice, experiment), lost),
              2, 2);
}

/// What decides, where it is counted.
std::string counted_cell(const Advice& advice, const AdviceChoice& choice) {
  if (advice.by_perplexity()) return "";
  return advice.quality == AdviceQuality::kDroppedShare ? format_percent(choice.quality) : format_value(choice.quality);
}

// In the order of AdviceQuality.
constexpr const char* kQualityNames[] = {"estimated_perplexity_change", "dropped_gate_mass", "dropped_share"};

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json choice_json(const Advice& advice, const std::optional<AdviceChoice>& choice, const ExperimentRecord& experiment) {
  if (!choice) return nullptr;
  const NetworkRecord& network = *choice->network;
  const Json strategy = Json::parse(strategy_text(experiment, network), nullptr, /*allow_exceptions=*/false);
  return {{"strategy", strategy.is_object() ? strategy : Json(nullptr)},
          {"label", network.label},
          {"tile", network.own_tiles ? Json(nullptr) : Json(network.tile)},
          {"tiles", network.metrics.tiles},
          {"speedup", choice->speedup},
          {"speedup_interval", choice->gain ? Json({choice->gain->low, choice->gain->high}) : Json(nullptr)},
          {"surely_faster", choice->surely_faster() ? Json(*choice->surely_faster()) : Json(nullptr)},
          {"doubt", choice->doubt.empty() ? Json(nullptr) : Json(choice->doubt)},
          {"time_ms", advice.in_ms() ? Json(choice->cost) : Json(nullptr)},
          {"estimated_perplexity_change", perplexity_json(network.quality.post_hoc)},
          {"estimate_beyond", network.quality.beyond},
          {"estimate_is_ranking", network.quality.ranking},
          {"dropped_gate_mass", number_or_null(mean_of(network).dropped_gate_mass)},
          {"dropped_share", mean_of(network).dropped_share}};
}

Json not_estimated_json(const NetworkRecord& network) {
  return {{"label", network.label},
          {"tile", network.own_tiles ? Json(nullptr) : Json(network.tile)},
          {"why", network.quality.why_not}};
}

/// Where no row keeps the limits, the one that is nearest: of those that keep the quality asked for the cheapest, or
/// the row of best quality. Along the front cost rises and quality gets better.
std::size_t nearest_row(const Advice& advice, const std::vector<AdviceChoice>& front) {
  const AdviceLimits& limits = advice.limits;
  const std::optional<double>& limit = advice.by_perplexity()                          ? limits.perplexity
                                       : advice.quality == AdviceQuality::kDroppedMass ? limits.dropped_mass
                                                                                       : limits.dropped_share;
  const auto keeps = [&](const AdviceChoice& choice) { return !limit || choice.quality <= *limit; };
  const auto found = std::find_if(front.begin(), front.end(), keeps);
  return static_cast<std::size_t>((found == front.end() ? front.end() - 1 : found) - front.begin());
}

/// Rows of the front about the answer: what is not calibrated only where it is asked for.
std::vector<AdviceChoice> front_about_answer(const Advice& advice, bool details) {
  constexpr std::size_t kMost = 7;
  std::vector<AdviceChoice> front;
  for (const AdviceChoice& choice : advice.front) {
    if (choice.calibrated || advice.names_uncalibrated) front.push_back(choice);
  }
  if (details || front.size() <= kMost) return front;
  std::size_t middle = nearest_row(advice, front);
  for (std::size_t i = 0; advice.best && i < front.size(); ++i) {
    if (front[i].network == advice.best->network) middle = i;
  }
  const std::size_t first = std::min(middle - std::min(middle, kMost / 2), front.size() - kMost);
  return {front.begin() + static_cast<std::ptrdiff_t>(first),
          front.begin() + static_cast<std::ptrdiff_t>(first + kMost)};
}

bool has_row(const std::vector<AdviceChoice>& rows, const NetworkRecord* network) {
  return std::ranges::any_of(rows, [&](const AdviceChoice& row) { return row.network == network; });
}

/// Rows that people are shown: of the front, and whatever else the answer names, the plain top-k of its gain included.
std::vector<AdviceChoice> shown_rows(const Advice& advice, bool details) {
  std::vector<AdviceChoice> rows = front_about_answer(advice, details);
  const auto show = [&](const std::optional<AdviceChoice>& named) {
    if (named && !has_row(rows, named->network)) rows.push_back(*named);
  };
  if (advice.certain) {
    show(advice.best);
    show(advice.runner_up);
    show(advice.unrounded);
  }
  if (advice.names_uncalibrated) show(advice.uncalibrated);
  std::ranges::stable_sort(rows, {}, &AdviceChoice::cost);
  return rows;
}

/// An asterisk where the estimate is beyond its calibration, a dagger where something cheaper is as good.
std::string marks_of(const Advice& advice, const AdviceChoice& choice) {
  return std::string(choice.calibrated ? "" : " *") + (has_row(advice.front, choice.network) ? "" : " †");
}

std::string front_table(const Advice& advice, const std::vector<AdviceChoice>& rows, bool with_tiles) {
  const auto cost = [&](const AdviceChoice& choice, int more) { return cost_cell(advice, choice, more); };
  const auto gain = [](const AdviceChoice& choice, int more) { return gain_words(choice, more); };
  const int cost_digits = digits_that_tell(rows, cost), gain_digits = digits_that_tell(rows, gain);
  const auto kind = static_cast<std::size_t>(advice.cost);
  Table table({"Strategy", "Tile", "Tiles", kCostHeads[kind], kGainHeads[kind], "Perplexity [90%]",
               advice.quality == AdviceQuality::kDroppedShare ? "Dropped" : "Lost mass"});
  for (const AdviceChoice& choice : rows) {
    const NetworkRecord& network = *choice.network;
    table.add_row({strategy_cell(network.label) + marks_of(advice, choice), tile_words(network),
                   with_tiles ? format_count(network.metrics.tiles) : "", cost(choice, cost_digits),
                   gain(choice, gain_digits), advice.by_perplexity() ? perplexity_words(network.quality) : "",
                   counted_cell(advice, choice)});
  }
  return table.render();
}

std::string front_text(const Advice& advice, bool details) {
  const std::vector<AdviceChoice> rows = shown_rows(advice, details);
  std::size_t all = 0, on_front = 0;
  for (const AdviceChoice& choice : advice.front) all += choice.calibrated || advice.names_uncalibrated ? 1 : 0;
  for (const AdviceChoice& row : rows) on_front += has_row(advice.front, row.network) ? 1 : 0;
  const std::string dagger =
      on_front < rows.size() ? wrap("†: not on the front, for something cheaper is as good; the answer names it.", 2)
                             : "";
  const char* how = advice.cost == AdviceCost::kMeasured ? ", measured" : ", modelled";
  const std::string text =
      fmt::format("Pareto Front{} (of {} settings none cheaper is as good{}):\n", how, advice.candidates,
                  on_front < all ? fmt::format("; {} of {} rows", on_front, all) : "");
  // A column that would break the table gives way: `Use` names the tiles.
  for (const bool with_tiles : {true, false}) {
    const std::string table = front_table(advice, rows, with_tiles);
    if (!with_tiles || static_cast<std::size_t>(std::count(table.begin(), table.end(), '\n')) <= rows.size() + 2) {
      return fmt::format("{}{}{}", text, table, dagger);
    }
  }
  return text + dagger;
}

std::string tried_words(const Advice& advice, const ExperimentRecord& experiment, const AdviceTextOptions& options) {
  std::vector<std::string> tiles;
  for (const std::int64_t tile : experiment.config.tiles) tiles.push_back(std::to_string(tile));
  return fmt::format("Tried: {} settings, of {} strategies at tiles {}{}", advice.candidates,
                     experiment.config.strategies.size(), fmt::join(tiles, ", "),
                     options.left_out.empty() ? "" : "; left out: " + options.left_out);
}

std::string shape_words(const Advice& advice, const ExperimentRecord& experiment) {
  const RoutingRecord& routing = experiment.routing.front();
  std::string words = fmt::format("{} experts, top-{}, {} tokens rounded together", format_count(routing.experts),
                                  experiment.config.router.top_k, format_count(routing.tokens));
  if (experiment.routing.size() > 1) words += fmt::format(", {} layers", experiment.routing.size());
  if (const auto& layer = experiment.config.layer)
    words += fmt::format("; layer {} x {}", layer->hidden, layer->intermediate);
  if (advice.training) words += "; training pass, forward and backward";
  return words;
}

/// Whether people see a candidate that is named by its share of round-ups.
bool shows_budget(const Advice& advice, const AdviceTextOptions& options) {
  const std::vector<AdviceChoice> rows = shown_rows(advice, options.details);
  return std::any_of(rows.begin(), rows.end(), [](const AdviceChoice& choice) {
    const std::string& label = choice.network->label;
    return (label.starts_with("budget ") || label.starts_with("tiles ")) && label.ends_with("%");
  });
}

/// Of what the answer is made of: where the model is known to be further off than its error.
std::string doubt_lines(const Advice& advice) {
  std::string text;
  const auto add = [&](const std::string& what, const std::optional<AdviceChoice>& choice) {
    if (!choice || choice->doubt.empty()) return;
    text += wrap(fmt::format("Warning: {} ({} at tile {}): {}.", what, choice->network->label, choice->network->tile,
                             choice->doubt),
                 2, 2);
  };
  add("the plain top-k that gains are over", advice.unrounded);
  if (advice.best && advice.best->network != advice.unrounded.network) add("the setting advised", advice.best);
  if (advice.runner_up && advice.runner_up->network != advice.unrounded.network) add("the runner-up", advice.runner_up);
  return text;
}

/// What the answer rests on, a line each.
std::string assumed_text(const Advice& advice, const ExperimentRecord& experiment, const AdviceTextOptions& options) {
  const auto line = [](const std::string& words) { return wrap("- " + words, 2, 2); };
  std::string text = experiment.routing.empty() ? "" : line(shape_words(advice, experiment));
  text += line(cost_words(advice, experiment));
  if (advice.in_ms()) text += line("rounding is in all times (`run` has it apart from layer ms), routing is not");
  if (!advice.in_ms())
    text += line("no overheads: neither routing nor rounding is counted; computed on " + options.computed_on);
  const std::string groups = groups_line(experiment);
  if (!groups.empty()) text += line(groups);
  if (shows_budget(advice, options)) {
    text += line("budget, tiles N%: N% of nearest's round-ups, where most gates are at stake");
  }
  if (advice.by_perplexity()) {
    text += line(fmt::format("perplexity: of a model trained with plain top-k{}; calibrated on '{}'; [90%]: {}",
                             experiment.routing.size() > 1 ? "" : ", if all its layers were like this one",
                             experiment.calibration->name, experiment.reach));
    const std::size_t beyond = advice.beyond;
    if (!advice.names_uncalibrated && beyond > 0) {
      text +=
          line(fmt::format("not named, for they are beyond that calibration: {} settings (--uncalibrated)", beyond));
    }
    if (!advice.not_estimated.empty()) {
      text += line(fmt::format("{} of {} settings have no estimate and are left out ({})", advice.not_estimated.size(),
                               advice.candidates, brief_reason(advice.not_estimated.front()->quality.why_not)));
    }
  }
  return text;
}

std::string in_quotes_of_shell(const std::string& text) { return "'" + text + "'"; }

/// The tile that is advised, where it is not the strategy's own, and that of the plain top-k which its gain is over:
/// run then says the same of it.
std::string tiles_to_run(const Advice& advice, const NetworkRecord& network) {
  const std::int64_t other = advice.unrounded.network->tile;
  if (network.own_tiles || other == network.tile) return fmt::format(" --set /tile={}", other);
  return fmt::format(" --set '/tile=[{},{}]'", std::min(other, network.tile), std::max(other, network.tile));
}

/// Why the verdict of `run` has another number than the answer: of the layer alone.
std::string layer_alone_line(const Advice& advice, const ExperimentRecord& experiment) {
  if (!advice.in_ms() || is_plain(*advice.best->network)) return {};
  const Interval alone = gain_over(experiment, *advice.unrounded.network, *advice.best->network);
  return wrap(fmt::format("run's verdict leaves rounding's own time out: here {}.",
                          format_ratio(alone.value, alone.low, alone.high)),
              2, 2);
}

/// What a config says to do as advised, and the command that runs it.
std::string ending(const Advice& advice, const ExperimentRecord& experiment, const AdviceTextOptions& options) {
  if (!advice.certain || !advice.best) return {};
  const NetworkRecord& network = *advice.best->network;
  std::string strategies = "[\"none\"";
  if (!is_plain(network)) strategies += "," + strategy_text(experiment, network);
  strategies += "]";
  std::string text = "\n  In a config:\n";
  if (!network.own_tiles) text += fmt::format("    \"tile\": {},\n", network.tile);
  text += "    \"strategies\": " + strategies + "\n";
  if (options.command.empty()) return text;
  return text + "  Next:\n    " + options.command + tiles_to_run(advice, network) + " --set " +
         in_quotes_of_shell("/strategies=" + strategies) + "\n" + layer_alone_line(advice, experiment) +
         (options.command_note.empty() ? "" : wrap(options.command_note, 2, 2));
}

}  // namespace

std::string advice_text(const Advice& advice, const ExperimentRecord& experiment, const AdviceTextOptions& options) {
  TextOptions text_options;
  text_options.colour = options.colour;
  std::string text = heading("Advice: " + experiment.config.name, text_options);
  text += wrap("Wanted: " + limit_words(advice.limits), 2, 2) + wrap(tried_words(advice, experiment, options), 2, 2);
  text += "\n" + front_text(advice, options.details) + "\n  Assumed:\n" + assumed_text(advice, experiment, options);
  if (options.details) text += reservations(advice);
  text += "\n  Answer:\n" + wrap(advice.verdict, 2);
  if (advice.certain) text += choice_text("Use", advice, *advice.best, experiment);
  if (advice.certain && advice.runner_up) text += choice_text("Runner-up", advice, *advice.runner_up, experiment);
  if (advice.names_uncalibrated && advice.uncalibrated) {
    text += choice_text("Not advised, for its estimate is not calibrated", advice, *advice.uncalibrated, experiment);
  }
  text += doubt_lines(advice);
  return text + ending(advice, experiment, options);
}

Json advice_json(const Advice& advice, const ExperimentRecord& experiment) {
  const auto limit = [](const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); };
  Json front = Json::array();
  for (const AdviceChoice& choice : advice.front) front.push_back(choice_json(advice, choice, experiment));
  Json not_estimated = Json::array();
  for (const NetworkRecord* network : advice.not_estimated) not_estimated.push_back(not_estimated_json(*network));
  return {{"limits",
           {{"perplexity", limit(advice.limits.perplexity)},
            {"dropped_gate_mass", limit(advice.limits.dropped_mass)},
            {"dropped_share", limit(advice.limits.dropped_share)},
            {"time_ms", limit(advice.limits.time_ms)},
            {"time_share", limit(advice.limits.time_share)}}},
          {"cost", kCostNames[static_cast<std::size_t>(advice.cost)]},
          {"quality", kQualityNames[static_cast<std::size_t>(advice.quality)]},
          {"candidates", advice.candidates},
          {"without_estimate", advice.not_estimated.size()},
          {"not_estimated", not_estimated},
          {"unrounded", choice_json(advice, advice.unrounded, experiment)},
          {"best", choice_json(advice, advice.best, experiment)},
          {"runner_up", choice_json(advice, advice.runner_up, experiment)},
          {"uncalibrated", choice_json(advice, advice.uncalibrated, experiment)},
          {"certain", advice.certain},
          {"surely_kept", advice.surely_kept ? Json(*advice.surely_kept) : Json(nullptr)},
          {"worth_it", advice.worth_it},
          {"verdict", advice.verdict},
          {"front", front}};
}

}  // namespace tatr
