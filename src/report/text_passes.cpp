// Training passes: what each way takes and gains, and what its stages take. Times of both ways together are among those
// of text_times.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "analysis/worth.hpp"
#include "core/format.hpp"
#include "model/tile_cost.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

/// Of one layer; null where its training pass was not timed.
const LayerTiming* trained(const TextContext& context, const NetworkRecord& network) {
  const auto& timing = context.first(network).timing;
  return timing && timing->training ? &*timing : nullptr;
}

/// Whether GEMMs multiply whole tiles: what rounds to single rows multiplies those that there are, and nothing else.
bool fills_tiles(const LayerTiming& timing) {
  const auto& up = timing.granules[index_of(Stage::kUp)];
  return up.value_or(timing.granule_rows.value_or(0)) != 1;
}

/// Of useful rows, and in brackets of whole tiles where they are multiplied.
std::string rate_cell(const LayerTiming& timing, const std::optional<double>& useful,
                      const std::optional<double>& hardware) {
  if (!useful || !hardware) return kAbsent;
  return format_value(*useful) + (fills_tiles(timing) ? fmt::format(" ({})", format_value(*hardware)) : "");
}

std::string ways_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  const std::string gain = context.environment.device == "cpu" ? "Time ratio [95%]" : "Speed-up [95%]";
  Table table({"Strategy", "Pass", "ms", gain, "By rows", "TFLOP/s"});
  bool any = false;
  for (const NetworkRecord* network : networks) {
    const LayerTiming* timing = trained(context, *network);
    if (timing == nullptr) continue;
    any = true;
    const auto add = [&](const std::string& name, const char* way, const TimingSeries& series,
                         const std::optional<RatioInterval>& ratio, double (*rows)(const RoundingMetrics&),
                         const std::string& rates) {
      table.add_row({name, way, format_value(median_of(series)), speedup_cell(ratio),
                     speedup_cell(row_ratio(context.experiment, *network, rows)), rates});
    };
    add(strategy_cell(network->label), "forward", timing->forward_ms, timing->forward_speedup, forward_rows,
        rate_cell(*timing, timing->forward_useful_tflops, timing->forward_hardware_tflops));
    add("", "backward", timing->backward_ms, timing->backward_speedup, backward_rows,
        rate_cell(*timing, timing->backward_useful_tflops, timing->backward_hardware_tflops));
    add("", "both", timing->layer_ms, timing->speedup, both_rows,
        rate_cell(*timing, timing->useful_tflops, timing->hardware_tflops));
  }
  return any ? table.render() : std::string();
}

/// Of several layers: sums of medians, whose ratios have no intervals.
std::string layered_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  Table table({"Strategy", "Forward ms", "Ratio", "Backward ms", "Ratio", "Both ms", "Ratio"});
  bool any = false;
  for (const NetworkRecord* network : networks) {
    if (trained(context, *network) == nullptr || !network->layer_ms) continue;
    any = true;
    std::vector<std::string> cells = {strategy_cell(network->label)};
    for (const auto way : {&LayerTiming::forward_ms, &LayerTiming::backward_ms}) {
      cells.push_back(format_value(way_ms(context.experiment, *network, way)));
      cells.push_back(speedup_cell(way_speedup(context.experiment, *network, way)));
    }
    cells.push_back(format_value(network->layer_ms));
    cells.push_back(speedup_cell(network->speedup));
    table.add_row(std::move(cells));
  }
  return any ? table.render() : std::string();
}

/// A stage a line, a strategy a column: medians, and the floor of the first strategy.
std::string stages_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  std::vector<std::string> heads = {"Stage, ms"};
  std::vector<const LayerTiming*> timings;
  for (const NetworkRecord* network : networks) {
    const LayerTiming* timing = trained(context, *network);
    if (timing == nullptr) continue;
    heads.push_back(strategy_cell(network->label));
    timings.push_back(timing);
  }
  if (timings.empty()) return {};
  const bool floors = std::any_of(timings.begin(), timings.end(),
                                  [](const LayerTiming* timing) { return timing->floor_of(Stage::kUp).has_value(); });
  if (floors) heads.insert(heads.begin() + 1, "Floor of " + heads[1]);
  Table table(heads);
  for (const StageInfo& stage : kStages) {
    std::vector<std::string> cells = {std::string(stage.name)};
    if (floors) {
      const auto& floor = timings.front()->floor_of(stage.stage);
      cells.push_back(floor ? fmt::format("{} {}", format_value(floor->ms), floor->by_bytes ? "bytes" : "FLOPs")
                            : kAbsent);
    }
    bool ran = false;
    for (const LayerTiming* timing : timings) {
      const std::optional<double> ms = median_of(timing->of(stage.stage));
      ran = ran || ms;
      cells.push_back(ms ? format_value(*ms) : kAbsent);
    }
    if (ran) table.add_row(std::move(cells));
  }
  return table.render();
}

/// "Granules: 128 rows; in the sums of weight gradients 64." Empty where the back end does not tell.
std::string granules_line(const LayerTiming& timing) {
  const auto &rows = timing.granules[index_of(Stage::kUp)], &step = timing.granules[index_of(Stage::kWgradUp)];
  if (!rows || !step) return {};
  return wrap(
      fmt::format("Granules: {} row{}; in the sums of weight gradients {}.", *rows, *rows == 1 ? "" : "s", *step), 2);
}

/// The first timed.
const LayerTiming* first_trained(const TextContext& context) {
  for (const NetworkRecord& network : context.networks) {
    if (const LayerTiming* timing = trained(context, network)) return timing;
  }
  return nullptr;
}

}  // namespace

std::string weight_gradient_line(const TextContext& context) {
  const LayerTiming* timing = first_trained(context);
  if (timing == nullptr) return {};
  return wrap(
      fmt::format("What rounding cannot buy: weight gradients, a third of the work, run over an expert's rows in steps "
                  "of {}. Whole tiles save there the rest of a step, not of a tile, and the rows that they drop.",
                  kReductionStep),
      0, 2);
}

std::string passes_section(const TextContext& context) {
  const LayerTiming* timing = first_trained(context);
  if (timing == nullptr) return {};
  if (context.layered()) {
    return heading("Training Pass", context.options) +
           for_each_tile(context, [&](const auto& networks) { return layered_table(context, networks); }) +
           wrap("Medians, added over the layers; ratios of none at the tile.", 2) + "\n" +
           weight_gradient_line(context);
  }
  std::string text = heading("Training Pass", context.options) +
                     for_each_tile(context, [&](const auto& networks) { return ways_table(context, networks); }) +
                     "\n" +
                     for_each_tile(context, [&](const auto& networks) { return stages_table(context, networks); });
  const bool brackets =
      std::any_of(context.networks.begin(), context.networks.end(), [&](const NetworkRecord& network) {
        const LayerTiming* one = trained(context, network);
        return one != nullptr && fills_tiles(*one);
      });
  text += wrap(
      fmt::format(
          "By rows (modelled): what rows of whole tiles, of weight gradients of whole steps of {}, would gain "
          "alone. TFLOP/s: of useful rows{}; 6 forward, 12 backward, 18 both, times rows, hidden and intermediate. "
          "A stage without a time is fused into another.",
          kReductionStep, brackets ? ", and of those whole tiles and steps" : ""),
      2);
  text += granules_line(*timing);
  if (timing->kept_bytes_per_row) {
    text += wrap(fmt::format("Kept of each row from forward to backward: {} bytes, the up-projection's product, token "
                             "and gate; what SwiGLU gives is made again.",
                             format_count(*timing->kept_bytes_per_row)),
                 2);
  }
  return text + "\n" + weight_gradient_line(context);
}

}  // namespace tatr
