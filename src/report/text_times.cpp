// Times: measured, what GEMMs are set beside, and how far outputs are moved. Modelled ones: text_modelled.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "core/format.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

std::string granule_words(const LayerTiming& timing) {
  return fmt::format(", granule {} row{}", *timing.granule_rows, *timing.granule_rows == 1 ? "" : "s");
}

/// How experts with tiles of their own were run.
std::string mixed_line(const TextContext& context, const NetworkRecord& network) {
  const LayerTiming& timing = *context.first(network).timing;
  if (!network.own_tiles || !timing.launches) return {};
  return wrap(
      fmt::format("{}: tiles by load, {}.", strategy_cell(network.label),
                  *timing.launches == 1 ? "all in one launch" : fmt::format("in {} launches", *timing.launches)),
      2);
}

std::string samples_words(const LayerTiming& timing) {
  const std::size_t samples = timing.layer_ms.samples.size();
  return fmt::format("median of {} sample{}", samples, samples == 1 ? "" : "s");
}

/// On a CPU the ratio of times is no speed-up: it has no tiles.
Table measured_columns(const TextContext& context) {
  const bool cpu = context.environment.device == "cpu";
  return Table({"Strategy", "GEMM ms", "Layer ms", cpu ? "CPU time ratio [95%]" : "Speed-up [95%]", "End to end [95%]",
                "Useful TFLOP/s"});
}

void add_single_layer(Table& table, const TextContext& context, const NetworkRecord& network) {
  const LayerTiming& timing = *context.first(network).timing;
  const bool timed = !timing.layer_ms.samples.empty();
  table.add_row({strategy_cell(network.label), format_value(gemm_ms(timing)), format_value(median_of(timing.layer_ms)),
                 speedup_cell(timing.speedup), speedup_cell(timing.end_to_end_speedup),
                 timed && timing.useful_tflops > 0 ? format_value(timing.useful_tflops) : kAbsent});
}

void add_network(Table& table, const NetworkRecord& network) {
  table.add_row({strategy_cell(network.label), format_value(network.gemm_ms), format_value(network.layer_ms),
                 speedup_cell(network.speedup), "", ""});
}

bool is_timed(const TextContext& context, const NetworkRecord& network, bool layered) {
  return layered ? network.layer_ms.has_value() : context.first(network).timing.has_value();
}

bool is_measured(const TextContext& context, const NetworkRecord& network) {
  return is_timed(context, network, context.layered()) && network.timing_kind == TimingKind::kMeasured;
}

/// How and where each of them was measured, each once.
std::vector<std::string> measured_headings(const TextContext& context,
                                           const std::vector<const NetworkRecord*>& networks) {
  std::vector<std::string> headings;
  for (const NetworkRecord* network : networks) {
    if (!is_measured(context, *network)) continue;
    const std::string found = timing_heading(*context.first(*network).timing);
    if (std::find(headings.begin(), headings.end(), found) == headings.end()) headings.push_back(found);
  }
  return headings;
}

/// Those that `shown` heads: their times compare.
std::string measured_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks,
                           const std::string& shown) {
  const bool layered = context.layered();
  Table table = measured_columns(context);
  std::string samples, granule, mixed, end_to_end;
  for (const NetworkRecord* network : networks) {
    if (!is_measured(context, *network) || timing_heading(*context.first(*network).timing) != shown) continue;
    layered ? add_network(table, *network) : add_single_layer(table, context, *network);
    const LayerTiming& timing = *context.first(*network).timing;
    if (samples.empty()) samples = samples_words(timing);
    if (granule.empty() && timing.granule_rows) granule = granule_words(timing);
    mixed += mixed_line(context, *network);
    if (end_to_end.empty() && !layered) end_to_end = end_to_end_line(timing);
  }
  return wrap(fmt::format("Measured ({}{}; {}{}):", shown, granule, samples, layered ? ", added over the layers" : ""),
              0, 2) +
         table.render() + mixed + end_to_end;
}

std::string measured_tables(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  std::string text, missing;
  for (const std::string& shown : measured_headings(context, networks)) {
    text += measured_table(context, networks, shown);
  }
  for (const NetworkRecord* network : networks) {
    if (is_timed(context, *network, context.layered())) continue;
    missing += (missing.empty() ? "" : ", ") + strategy_cell(network->label);
  }
  return missing.empty() ? text : text + wrap("Times not measured: " + missing, 0, 2);
}

std::string floor_cell(const std::optional<GemmFloor>& floor) {
  return floor ? fmt::format("{} {}", format_value(floor->ms), floor->by_bytes ? "bytes" : "FLOPs") : kAbsent;
}

/// Outputs beside modelled times are those of the CPU's layer.
std::string reduced_outputs_line(const TextContext& context) {
  const auto& layer = context.experiment.config.layer;
  if (!context.experiment.model || !layer || layer->cpu_hidden == 0) return {};
  if (layer->cpu_hidden == layer->hidden && layer->cpu_intermediate == layer->intermediate) return {};
  return wrap(
      fmt::format("Of the reduced layer {} x {} that the CPU computed.", layer->cpu_hidden, layer->cpu_intermediate),
      2);
}

/// How far each strategy moves the layer's output, and by what.
std::string error_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  Table table({"Strategy", "Overall", "Worst 1%", "Dropped", "Added", "Rescaled"});
  bool any = false;
  for (const NetworkRecord* network : networks) {
    const auto& timing = context.first(*network).timing;
    if (!timing || !timing->output_error_worst_percent || network->kind == StrategyKind::kNone) continue;
    any = true;
    table.add_row({strategy_cell(network->label), format_value(timing->output_error),
                   format_value(timing->output_error_worst_percent), format_value(timing->output_error_dropped),
                   format_value(timing->output_error_added), format_value(timing->output_error_rescaled)});
  }
  if (!any) return {};
  return table.render();
}

/// The two GEMMs beside what they cannot beat and the library's yardstick. For devices with either.
std::string gemm_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  Table table({"Strategy", "Up ms", "Floor", "Down ms", "Floor", "Uniform ms"});
  bool any = false, floors = false;
  for (const NetworkRecord* network : networks) {
    const auto& timing = context.first(*network).timing;
    if (!timing || timing->kind == TimingKind::kModelled || (!timing->uniform_ms && !timing->floor_of(Stage::kUp)))
      continue;
    any = true;
    floors = floors || timing->floor_of(Stage::kUp);
    table.add_row({strategy_cell(network->label), format_value(median_of(timing->of(Stage::kUp))),
                   floor_cell(timing->floor_of(Stage::kUp)), format_value(median_of(timing->of(Stage::kDown))),
                   floor_cell(timing->floor_of(Stage::kDown)), format_value(timing->uniform_ms)});
  }
  if (!any) return {};
  std::string text = table.render();
  if (floors) {
    text += wrap(
        "Floor (modelled): the larger of the FLOPs of whole tiles and of bytes, at the rates measured on such a "
        "device.",
        2);
  }
  return text + wrap("Uniform: both GEMMs by cuBLAS with equal counts, a yardstick that does no ragged work.", 2);
}

}  // namespace

std::string timing_heading(const LayerTiming& timing) {
  const std::string shape = fmt::format("{} x {}", timing.hidden, timing.intermediate);
  const std::string place =
      timing.cpu_reduced ? fmt::format("CPU, reduced shape {}", shape) : fmt::format("layer {}", shape);
  std::string fused;
  if (timing.fuses_gather || timing.fuses_swiglu) {
    fused = fmt::format(", {} fused", timing.fuses_gather && timing.fuses_swiglu ? "gather and SwiGLU"
                                      : timing.fuses_gather                      ? "gather"
                                                                                 : "SwiGLU");
  }
  return fmt::format("{}, {}{}{}", place, timing.backend, timing.training ? ", training pass" : "", fused);
}

std::string end_to_end_line(const LayerTiming& timing) {
  if (!timing.end_to_end_speedup) return {};
  return wrap(fmt::format("End to end: {}.", fmt::join(timing.end_to_end_counts, ", ")), 2);
}

std::string speedup_cell(const std::optional<RatioInterval>& ratio) {
  return ratio ? format_ratio(ratio->value, ratio->low, ratio->high) : kAbsent;
}

std::string speedup_cell(const std::optional<double>& ratio) {
  return ratio ? fmt::format("{:.2f}×", *ratio) : kAbsent;
}

std::vector<std::int64_t> tiles_of(const TextContext& context) {
  std::vector<std::int64_t> tiles;
  for (const NetworkRecord& network : context.networks) {
    if (std::find(tiles.begin(), tiles.end(), network.tile) == tiles.end()) tiles.push_back(network.tile);
  }
  return tiles;
}

std::string for_each_tile(const TextContext& context,
                          const std::function<std::string(const std::vector<const NetworkRecord*>&)>& table) {
  std::string text;
  const std::vector<std::int64_t> tiles = tiles_of(context);
  for (const std::int64_t tile : tiles) {
    std::vector<const NetworkRecord*> networks;
    for (const NetworkRecord& network : context.networks) {
      if (network.tile == tile) networks.push_back(&network);
    }
    const std::string part = table(networks);
    if (part.empty()) continue;
    if (!text.empty()) text += "\n";
    if (tiles.size() > 1) text += tile > 0 ? fmt::format("Tile {}\n\n", tile) : std::string("Own tiles\n\n");
    text += part;
  }
  return text;
}

std::string times_section(const TextContext& context) {
  const bool measured = std::any_of(context.networks.begin(), context.networks.end(),
                                    [&](const NetworkRecord& network) { return is_measured(context, network); });
  if (!measured) return {};
  return heading("Times", context.options) +
         for_each_tile(context, [&](const auto& networks) { return measured_tables(context, networks); });
}

std::string errors_section(const TextContext& context) {
  if (context.layered()) return {};
  const std::string tables =
      for_each_tile(context, [&](const auto& networks) { return error_table(context, networks); });
  if (tables.empty()) return {};
  return heading("Output Error", context.options) + tables +
         wrap(
             "Distance to the output of none over its norm, with random weights: overall, of the 1 % of tokens "
             "furthest off, and what each part alone moves.",
             2) +
         reduced_outputs_line(context);
}

std::string gemms_section(const TextContext& context) {
  if (context.layered()) return {};
  const std::string tables =
      for_each_tile(context, [&](const auto& networks) { return gemm_table(context, networks); });
  return tables.empty() ? tables : heading("GEMMs", context.options) + tables;
}

}  // namespace tatr
