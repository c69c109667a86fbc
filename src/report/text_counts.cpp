// What follows from integers and gates alone, exact on every machine: a table of all strategies for each tile.
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/format.hpp"
#include "records/metric_catalogue.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

/// What a budget of waves gained.
std::string waves_line(const StrategyRecord& record) {
  const WaveRecord& waves = *record.waves;
  const double nearest = std::ceil(waves.nearest_waves), own = std::ceil(waves.filled);
  const std::string gain = nearest > own   ? fmt::format("{} fewer", format_count(std::llround(nearest - own)))
                           : nearest < own ? fmt::format("{} more", format_count(std::llround(own - nearest)))
                                           : std::string("as many");
  return wrap(fmt::format("{}: {} tiles of {} output tiles fill {:.2f} of {} waves of {} SMs; nearest's {} tiles would "
                          "fill {:.2f}: {} (modelled).",
                          strategy_cell(record.strategy.label), format_count(record.metrics.tiles), waves.column_tiles,
                          waves.filled, format_value(waves.asked), waves.sms, format_count(waves.nearest_tiles),
                          waves.nearest_waves, gain),
              2);
}

/// The metrics that have a column in the table.
std::vector<const RoundingMetric*> tabled_metrics() {
  std::vector<const RoundingMetric*> metrics;
  for (const RoundingMetric& metric : kRoundingMetrics) {
    if (!metric.heading.empty()) metrics.push_back(&metric);
  }
  return metrics;
}

std::string metric_cell(const RoundingMetric& metric, const RoundingMetrics& metrics) {
  if (!metric.has_value(metrics)) return kAbsent;
  if (metric.is_count()) return format_count(metrics.*metric.count);
  return metric.is_share() ? format_percent(metrics.*metric.real) : format_value(metrics.*metric.real);
}

std::string counts_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  const bool layered = context.layered();
  const std::vector<const RoundingMetric*> metrics = tabled_metrics();
  std::vector<std::string> heads = {"Strategy"};
  for (const RoundingMetric* metric : metrics) heads.emplace_back(metric->heading);
  if (layered) heads.insert(heads.end(), {"Lowest utilisation", "Highest lost mass"});
  Table table(heads);
  std::string waves;
  for (const NetworkRecord* network : networks) {
    std::vector<std::string> cells = {strategy_cell(network->label)};
    for (const RoundingMetric* metric : metrics) cells.push_back(metric_cell(*metric, network->metrics));
    if (layered) {
      cells.push_back(format_percent(network->lowest_utilisation));
      cells.push_back(format_value(network->highest_dropped_mass));
    }
    table.add_row(cells);
    if (!layered && context.first(*network).waves) waves += waves_line(context.first(*network));
  }
  return table.render() + waves;
}

}  // namespace

std::string counts_section(const TextContext& context) {
  if (context.networks.empty()) return {};
  const bool gates = context.networks.front().metrics.known >= Known::kGates;
  std::string text = heading("Tiles and Rows", context.options);
  text += for_each_tile(context, [&](const auto& networks) { return counts_table(context, networks); });
  std::string legend;
  if (context.layered()) legend += "Counts: sums over the layers; shares: means; Lowest, Highest: of any layer. ";
  legend += "Shares are of T K assignments. ";
  if (gates) {
    legend +=
        "Most: experts of one token, the most of any. Lost gate mass: gates dropped, mean over tokens. Prob.: mean "
        "routing probability of what was dropped. ";
  } else {
    legend += "Not known: what needs gates; " + why_unknown(context.networks.front().metrics) + ".";
  }
  return text + wrap(legend, 2);
}

}  // namespace tatr
