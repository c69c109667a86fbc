#include <fmt/format.h>

#include "core/format.hpp"
#include "records/metric_catalogue.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

/// "961 ± 12"
template <class Format>
std::string spread_cell(const BatchRecord& batches, std::string_view metric, Format format) {
  const std::optional<BatchSpread>& spread = spread_of(batches, metric);
  if (!spread) return kAbsent;
  return spread->deviation ? fmt::format("{} ± {}", format(spread->mean), format(*spread->deviation))
                           : format(spread->mean);
}

template <class Format>
std::string worst_cell(const BatchRecord& batches, std::string_view metric, Format format) {
  const std::optional<BatchSpread>& spread = spread_of(batches, metric);
  return spread ? format(spread->worst) : kAbsent;
}

/// Times of the group with most tiles beside those of the one with median tiles.
std::string worst_times(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  Table table({"Strategy", "Median group ms", "Worst group ms"});
  bool any = false;
  for (const NetworkRecord* network : networks) {
    if (!network->layer_ms || !network->batches->worst_layer_ms) continue;
    any = true;
    table.add_row({strategy_cell(network->label), format_value(*network->layer_ms),
                   format_value(*network->batches->worst_layer_ms)});
  }
  if (!any) return {};
  return fmt::format("  Layer times{}:\n", context.experiment.model ? " (modelled)" : "") + table.render();
}

}  // namespace

std::string batches_section(const TextContext& context) {
  if (context.networks.empty() || !context.networks.front().batches) return {};
  const BatchRecord& first = *context.networks.front().batches;
  std::string text = heading(fmt::format("Over {} Groups of up to {} Tokens (mean ± deviation)", first.groups.size(),
                                         format_count(first.tokens)),
                             context.options);
  const auto count = [](double value) { return format_value(value); };
  text += for_each_tile(context, [&](const auto& networks) {
    Table table({"Strategy", "Tiles", "Most", "Utilisation", "Lowest", "Dropped", "Most", "Lost gate mass",
                 "Perplexity [90%]"});
    for (const NetworkRecord* network : networks) {
      const BatchRecord& batches = *network->batches;
      table.add_row({strategy_cell(network->label), spread_cell(batches, "tiles", count),
                     worst_cell(batches, "tiles", count), spread_cell(batches, "tile_utilisation", format_percent),
                     worst_cell(batches, "tile_utilisation", format_percent),
                     spread_cell(batches, "dropped_share", format_percent),
                     worst_cell(batches, "dropped_share", format_percent),
                     spread_cell(batches, "dropped_gate_mass", count)});
    }
    return table.render() + worst_times(context, networks);
  });
  return text +
         wrap(fmt::format("The other tables are of group {}, which has the median of tiles; group {} has the most.",
                          first.median_group, first.worst_group));
}

}  // namespace tatr
