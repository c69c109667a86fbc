#include <fmt/format.h>

#include <algorithm>

#include "core/format.hpp"
#include "model/modelled_device.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

bool is_modelled(const NetworkRecord& network) {
  return network.layer_ms && network.timing_kind == TimingKind::kModelled;
}

/// "5.1 [4.8, 5.4]"
std::string time_cell(const TimingSeries& series) {
  if (!series.modelled) return kAbsent;
  const Interval& time = *series.modelled;
  return fmt::format("{} [{}, {}]", format_value(time.value), format_value(time.low), format_value(time.high));
}

Table modelled_columns() {
  return Table(
      {"Strategy", "Layer ms [90%]", "Speed-up [90%]", "End to end [90%]", "GEMM ms", "Useful TFLOP/s", "Uniform ms"});
}

void add_row(Table& table, const TextContext& context, const NetworkRecord& network) {
  if (network.layers.size() > 1) {
    table.add_row({strategy_cell(network.label), format_value(network.layer_ms), speedup_cell(network.speedup), "",
                   format_value(network.gemm_ms), "", ""});
    return;
  }
  const LayerTiming& timing = *context.first(network).timing;
  table.add_row({strategy_cell(network.label), time_cell(timing.layer_ms), speedup_cell(timing.speedup),
                 speedup_cell(timing.end_to_end_speedup), format_value(gemm_ms(timing)),
                 format_value(timing.useful_tflops), format_value(timing.uniform_ms)});
}

/// What the CPU computed, where that is another layer than the one that is modelled.
std::string outputs_line(const TextContext& context) {
  const LayerConfig& layer = *context.experiment.config.layer;
  if (layer.cpu_hidden == 0 || context.experiment.config.router.source.counts() != nullptr) return {};
  return wrap(fmt::format("Outputs: computed and verified on the CPU, layer {} x {}.", layer.cpu_hidden,
                          layer.cpu_intermediate),
              2);
}

}  // namespace

std::string modelled_section(const TextContext& context) {
  if (!context.experiment.model || !context.experiment.config.layer) return {};
  const GpuModel& gpu = *context.experiment.model;
  const auto first = std::find_if(context.networks.begin(), context.networks.end(), is_modelled);
  if (first == context.networks.end()) return {};
  const std::string doubt = doubt_of(gpu);
  std::string text = heading("Times on " + modelled_name(gpu) + (doubt.empty() ? "" : ": " + doubt), context.options);
  text += wrap(fmt::format("Modelled, not measured: {}.", error_words(gpu)), 0, 2);
  const std::vector<std::int64_t> tiles = tiles_of(context);
  for (const std::int64_t tile : tiles) {
    Table table = modelled_columns();
    for (const NetworkRecord& network : context.networks) {
      if (network.tile == tile && is_modelled(network)) add_row(table, context, network);
    }
    text += "\n" + wrap(fmt::format("Modelled ({}{}{}{}):", timing_heading(*context.first(*first).timing),
                                    tile > 0 ? fmt::format(", tile {}", tile) : ", own tiles",
                                    first->layers.size() > 1 ? ", added over the layers" : "",
                                    doubt.empty() ? "" : "; " + doubt),
                        0, 2);
    text += table.render();
  }
  const LayerTiming& timing = *context.first(*first).timing;
  if (first->layers.size() == 1) text += end_to_end_line(timing);
  text +=
      wrap(fmt::format("[90%]: by the 90th percentile of the model's error, {:.2g} % of times and {:.2g} % of ratios.",
                       100 * gpu.error.p90, 100 * gpu.error.ratio),
           2);
  if (timing.uniform_ms) text += wrap("Uniform: both GEMMs by cuBLAS with equal counts, modelled too.", 2);
  return text + outputs_line(context);
}

}  // namespace tatr
