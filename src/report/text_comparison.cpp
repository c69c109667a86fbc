#include <fmt/format.h>

#include <algorithm>

#include "core/format.hpp"
#include "model/modelled_device.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

bool several_layers(const TextContext& context) { return context.experiment.routing.size() > 1; }

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

/// What follows from the integers alone: exact on every machine.
std::string counted_table(const std::vector<const NetworkRecord*>& networks, bool layered) {
  Table table({"Strategy", "Tiles", "Utilized", layered ? "Lowest" : "Wasted FLOPs", "Dropped", "Added", "Starved",
               "Lost mass", "Highest", "Padded", "Duplic."});
  for (const std::size_t column : {1, 2, 3, 4, 5}) table.keep(column);
  for (const NetworkRecord* network : networks) {
    const RoundingMetrics& metrics = network->metrics;
    // One layer has told of starved experts and lost mass in the section before.
    table.add_row({strategy_cell(network->label), format_count(metrics.tiles), format_percent(metrics.tile_utilisation),
                   format_percent(layered ? network->lowest_utilisation : metrics.wasted_flops),
                   format_percent(metrics.dropped_share), format_percent(metrics.added_share),
                   layered ? format_count(metrics.starved_experts) : "",
                   layered ? format_value(metrics.dropped_gate_mass) : "",
                   layered ? format_value(network->highest_dropped_mass) : "", format_percent(metrics.padded_share),
                   format_percent(metrics.duplicated_share)});
  }
  std::string text =
      "Counted" + std::string(layered ? " (tiles and starved experts: sums over layers; else means)" : "") + ":\n";
  text += table.render();
  if (layered) {
    const bool gates = networks.front()->metrics.known >= Known::kGates;
    text += wrap(
        gates ? "Lowest, Highest: of any layer. Lost mass: gates dropped, mean over tokens." : "Lowest: of any layer.",
        2);
  }
  return text;
}

Table measured_columns() {
  return Table(
      {"Strategy", "GEMM ms", "Layer ms", "Speedup [95%]", "Output error", "End to end [95%]", "Useful TFLOP/s"});
}

void add_single_layer(Table& table, const TextContext& context, const NetworkRecord& network) {
  const LayerTiming& timing = *context.first(network).timing;
  const bool timed = !timing.layer_ms.samples.empty();
  table.add_row({strategy_cell(network.label), format_value(gemm_ms(timing)), format_value(median_of(timing.layer_ms)),
                 speedup_cell(timing.speedup), format_value(timing.output_error),
                 speedup_cell(timing.end_to_end_speedup),
                 timed && timing.useful_tflops > 0 ? format_value(timing.useful_tflops) : kAbsent});
}

void add_network(Table& table, const NetworkRecord& network) {
  table.add_row({strategy_cell(network.label), format_value(network.gemm_ms), format_value(network.layer_ms),
                 speedup_cell(network.speedup), "", "", ""});
}

bool is_timed(const TextContext& context, const NetworkRecord& network, bool layered) {
  return layered ? network.layer_ms.has_value() : context.first(network).timing.has_value();
}

/// One table for each back end and shape: their times do not compare.
std::string measured_tables(const TextContext& context, const std::vector<const NetworkRecord*>& networks,
                            bool layered) {
  std::vector<std::string> headings;
  std::string missing;
  bool modelled = false;
  for (const NetworkRecord* network : networks) {
    modelled = modelled || network->timing_kind == TimingKind::kModelled;
    if (!is_timed(context, *network, layered)) {
      missing += (missing.empty() ? "" : ", ") + strategy_cell(network->label);
      continue;
    }
    const std::string found = timing_heading(*context.first(*network).timing);
    if (std::find(headings.begin(), headings.end(), found) == headings.end()) headings.push_back(found);
  }
  if (modelled) return "Times: modelled, in a table of their own above\n";
  if (headings.empty()) return "Times: not measured\n";
  std::string text;
  for (const std::string& shown : headings) {
    Table table = measured_columns();
    std::string samples, granule, mixed, end_to_end;
    for (const NetworkRecord* network : networks) {
      if (!is_timed(context, *network, layered) || timing_heading(*context.first(*network).timing) != shown) continue;
      layered ? add_network(table, *network) : add_single_layer(table, context, *network);
      const LayerTiming& timing = *context.first(*network).timing;
      if (samples.empty()) samples = samples_words(timing);
      if (granule.empty() && timing.granule_rows) granule = granule_words(timing);
      mixed += mixed_line(context, *network);
      if (end_to_end.empty() && !layered) end_to_end = end_to_end_line(timing);
    }
    text += wrap(
        fmt::format("Measured ({}{}; {}{}):", shown, granule, samples, layered ? ", added over the layers" : ""), 0, 2);
    text += table.render();
    text += mixed;
    text += end_to_end;
  }
  if (!missing.empty()) text += wrap("Times not measured: " + missing, 0, 2);
  return text;
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
  return "\nOutput Error (against none, random weights; overall, worst tokens, parts):\n" + table.render() +
         reduced_outputs_line(context);
}

/// The two GEMMs beside what they cannot beat and the library's yardstick. For devices with either.
std::string gemm_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  Table table({"Strategy", "Up ms", "Floor", "Down ms", "Floor", "Uniform ms"});
  bool any = false, floors = false;
  for (const NetworkRecord* network : networks) {
    const auto& timing = context.first(*network).timing;
    if (!timing || timing->kind == TimingKind::kModelled || (!timing->uniform_ms && !timing->up_floor)) continue;
    any = true;
    floors = floors || timing->up_floor;
    table.add_row({strategy_cell(network->label), format_value(median_of(timing->of(Stage::kUp))),
                   floor_cell(timing->up_floor), format_value(median_of(timing->of(Stage::kDown))),
                   floor_cell(timing->down_floor), format_value(timing->uniform_ms)});
  }
  if (!any) return {};
  std::string text = "\nGEMMs:\n" + table.render();
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
  return fmt::format("{}, {}{}", place, timing.backend, fused);
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

std::string comparison_section(const TextContext& context) {
  if (context.networks.empty()) return {};
  const bool layered = several_layers(context);
  std::string text = heading("Vanilla vs Tile-Aware Routing", context.options);
  const std::vector<std::int64_t> tiles = tiles_of(context);
  for (const std::int64_t tile : tiles) {
    std::vector<const NetworkRecord*> networks;
    for (const NetworkRecord& network : context.networks) {
      if (network.tile == tile) networks.push_back(&network);
    }
    if (tiles.size() > 1) {
      text += (tile == tiles.front() ? "" : "\n") +
              (tile > 0 ? fmt::format("Tile {}\n\n", tile) : std::string("Own tiles\n\n"));
    }
    text += counted_table(networks, layered) + "\n" + measured_tables(context, networks, layered);
    if (!layered) text += error_table(context, networks) + gemm_table(context, networks);
  }
  return text;
}

/// Whose speed-ups they are, where they are modelled.
static std::string modelled_line(const TextContext& context) {
  if (!context.experiment.model) return {};
  return wrap(fmt::format("Speedups: on {}; {}.", modelled_name(*context.experiment.model),
                          error_words(*context.experiment.model)),
              2);
}

std::string tile_size_section(const TextContext& context) {
  if (tiles_of(context).size() < 2) return {};
  const bool layered = several_layers(context);
  std::vector<std::string> labels;
  for (const NetworkRecord& network : context.networks) {
    if (std::find(labels.begin(), labels.end(), network.label) == labels.end()) labels.push_back(network.label);
  }
  Table table({"Strategy", "Tile", "Utilized", "Dropped", "Lost mass", "Speedup"});
  bool reduced = false;
  for (const std::string& label : labels) {
    for (const NetworkRecord& network : context.networks) {
      if (network.label != label) continue;
      const auto& timing = context.first(network).timing;
      const std::string speedup = layered  ? speedup_cell(network.speedup)
                                  : timing ? speedup_cell(timing->speedup)
                                           : kAbsent;
      reduced = reduced || (network.cpu_reduced && speedup != kAbsent);
      const std::string tile = network.own_tiles ? "by load" : std::to_string(network.tile);
      table.add_row({strategy_cell(label), tile, format_percent(network.metrics.tile_utilisation),
                     format_percent(network.metrics.dropped_share), format_value(network.metrics.dropped_gate_mass),
                     speedup});
    }
  }
  return heading("Tile Size Selection", context.options) + table.render() +
         (reduced ? "  Speedups: CPU, reduced shape, each against none at the same tile.\n" : "") +
         modelled_line(context);
}

}  // namespace tatr
