#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/format.hpp"
#include "records/metric_catalogue.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

constexpr std::int64_t kHistogramBins = 12;
constexpr std::int64_t kHistogramBar = 40;

std::string expert_line(std::size_t expert, std::int64_t tokens, std::int64_t tiles, double last) {
  if (tiles == 0) return fmt::format("  Expert {}: {} tokens → no tile\n", expert, tokens);
  const std::string used =
      last == 1 ? "100% utilized" : fmt::format("tile {}: {} utilized", tiles, format_percent(last));
  return fmt::format("  Expert {}: {} token{} → {} tile{} ({})\n", expert, tokens, tokens == 1 ? "" : "s", tiles,
                     tiles == 1 ? "" : "s", used);
}

/// The lines of the first `limit` experts, or of all where it is negative.
template <typename Line>
std::string expert_lines(std::size_t experts, int limit, Line line) {
  // An ellipsis that hides a single expert would save nothing.
  const std::size_t shown =
      limit < 0 || experts <= static_cast<std::size_t>(limit) + 1 ? experts : static_cast<std::size_t>(limit);
  std::string text;
  for (std::size_t expert = 0; expert < shown; ++expert) text += line(expert);
  if (shown < experts)
    text += fmt::format("  ... ({} more)\n", format_count(static_cast<std::int64_t>(experts - shown)));
  return text;
}

/// Experts as top-k left them, in whole tiles of `tile` rows.
std::string before_text(const RoundingMetrics& metrics, std::int64_t tile, int limit) {
  std::int64_t rows = 0, tiles = 0;
  for (const std::int32_t count : metrics.counts_before) {
    rows += count;
    tiles += (count + tile - 1) / tile;
  }
  std::string text = "Before Rounding:\n";
  text += expert_lines(metrics.counts_before.size(), limit, [&](std::size_t expert) {
    const std::int64_t count = metrics.counts_before[expert];
    const std::int64_t needed = (count + tile - 1) / tile;
    const std::int64_t in_last = count - (needed - 1) * tile;
    return expert_line(expert, count, needed, static_cast<double>(in_last) / static_cast<double>(tile));
  });
  const double used = tiles == 0 ? 1.0 : static_cast<double>(rows) / static_cast<double>(tiles * tile);
  return text + fmt::format("  Average Tile Utilization: {}\n", format_percent(used));
}

std::string moved_line(const char* what, std::int64_t rows, double share) {
  if (rows == 0) return {};
  return fmt::format("  Tokens {}: {} ({} of assignments)\n", what, format_count(rows), format_percent(share));
}

std::string after_text(const StrategyRecord& record, int limit) {
  const RoundingMetrics& metrics = record.metrics;
  std::string text = fmt::format("After Rounding ({}):\n", shorten(strategy_title(record.strategy), 60));
  const std::size_t listed =
      std::min({metrics.counts_after.size(), metrics.tiles_per_expert.size(), metrics.last_tile_utilisation.size()});
  text += expert_lines(listed, limit, [&](std::size_t expert) {
    return expert_line(expert, metrics.counts_after[expert], metrics.tiles_per_expert[expert],
                       metrics.last_tile_utilisation[expert]);
  });
  text += fmt::format("  Average Tile Utilization: {}\n", format_percent(metrics.tile_utilisation));
  text += moved_line("Dropped", metrics.dropped, metrics.dropped_share);
  text += moved_line("Added", metrics.added, metrics.added_share);
  text += moved_line("Padded", metrics.padded, metrics.padded_share);
  text += moved_line("Duplicated", metrics.duplicated, metrics.duplicated_share);
  return text;
}

std::string quality_text(const StrategyRecord& record, const RoutingRecord* routing) {
  const RoundingMetrics& metrics = record.metrics;
  std::string text = "Quality Impact:\n";
  const std::string why = why_unknown(metrics);
  if (why.empty()) {
    const std::string probability =
        metrics.dropped == 0 ? "none dropped" : format_value(metrics.mean_dropped_probability);
    text += fmt::format("  - Average Routing Prob of Dropped Tokens: {}\n", probability);
    text += fmt::format("  - Dropped Gate Mass per Token: {}\n", format_value(metrics.dropped_gate_mass));
  } else {
    text += wrap("- Not known: what needs gates; " + why, 2, 2);
  }
  text += wrap("- Estimated Perplexity Change: " + perplexity_words(record.quality), 2, 2);
  const std::string experts = routing ? " of " + format_count(routing->experts) : "";
  const std::string tokens = routing ? " of " + format_count(routing->tokens) : "";
  text += fmt::format("  - Starved Experts: {}{}\n", format_count(metrics.starved_experts), experts);
  if (!why.empty()) return text;
  text += fmt::format("  - Tokens without Expert: {}{}\n", format_count(metrics.tokens_without_expert), tokens);
  return text;
}

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

/// The metrics that have a column in the table of all strategies.
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

/// Every strategy at one tile, a line each.
std::string strategies_table(const TextContext& context, std::int64_t tile) {
  const std::vector<const RoundingMetric*> metrics = tabled_metrics();
  std::vector<std::string> heads = {"Strategy"};
  for (const RoundingMetric* metric : metrics) heads.emplace_back(metric->heading);
  Table table(heads);
  table.keep(3);
  table.keep(4);
  std::size_t rows = 0;
  std::string waves;
  for (const StrategyRecord& record : context.experiment.strategies) {
    if (tile_group(record, context.experiment.config) != tile) continue;
    std::vector<std::string> cells = {strategy_cell(record.strategy.label)};
    for (const RoundingMetric* metric : metrics) cells.push_back(metric_cell(*metric, record.metrics));
    table.add_row(cells);
    ++rows;
    if (record.waves) waves += waves_line(record);
  }
  const bool gates = context.networks.empty() || context.networks.front().metrics.known >= Known::kGates;
  if (rows < 2) return waves.empty() ? waves : "\n" + waves;
  return "\nAll Strategies:\n" + table.render() +
         (gates ? wrap("Most: experts of one token, the most of any. Lost mass: gates dropped, mean over tokens. "
                       "Prob.: mean routing probability of what was dropped.",
                       2)
                : "") +
         waves;
}

/// A bin width of 1, 2 or 5 times a power of ten that covers `span` with at most kHistogramBins bins.
std::int64_t bin_width(std::int64_t span) {
  for (std::int64_t power = 1;; power *= 10) {
    for (const std::int64_t step : {1, 2, 5}) {
      if (span / (step * power) < kHistogramBins - 1) return step * power;
    }
  }
}

}  // namespace

std::string strategy_title(const StrategyConfig& strategy) {
  const std::string title(row_of(strategy.kind).title);
  return strategy.label.empty() || strategy.label == strategy.name ? title : title + ": " + strategy.label;
}

std::string strategy_cell(const std::string& label) { return shorten(label, 20); }

std::string rounding_section(const TextContext& context) {
  const auto& records = context.experiment.strategies;
  if (records.empty() || context.experiment.routing.size() > 1) return {};
  const std::int64_t tile = tile_group(records.front(), context.experiment.config);
  const RoutingRecord* routing = context.experiment.routing.empty() ? nullptr : &context.experiment.routing.front();
  const int limit = context.options.experts;
  std::string text;
  if (tile > 0) {
    if (context.experiment.config.tiles.size() > 1) text += fmt::format("At tile {}:\n\n", tile);
    text += before_text(records.front().metrics, tile, limit);
  }
  const auto rounding = std::find_if(records.begin(), records.end(), [](const StrategyRecord& record) {
    return record.strategy.kind != StrategyKind::kNone;
  });
  if (rounding != records.end()) {
    text += (text.empty() ? "" : "\n") + after_text(*rounding, limit) + "\n" + quality_text(*rounding, routing);
  }
  return text + strategies_table(context, tile);
}

std::string histogram_section(const TextContext& context) {
  const auto& records = context.experiment.strategies;
  if (records.empty() || context.experiment.routing.size() > 1) return {};
  const auto& counts = records.front().metrics.counts_before;
  if (counts.empty()) return {};
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  const std::int64_t width = bin_width(*most - *least);
  const std::int64_t start = *least / width * width;
  std::vector<std::int64_t> bins(static_cast<std::size_t>((*most - start) / width + 1), 0);
  for (const std::int32_t count : counts) ++bins[static_cast<std::size_t>((count - start) / width)];
  const std::int64_t highest = *std::max_element(bins.begin(), bins.end());

  std::string text = "Tokens per Expert (experts in each range):\n";
  const std::size_t digits = format_count(start + static_cast<std::int64_t>(bins.size()) * width).size();
  for (std::size_t bin = 0; bin < bins.size(); ++bin) {
    const std::int64_t low = start + static_cast<std::int64_t>(bin) * width;
    const std::int64_t length = (bins[bin] * kHistogramBar + highest - 1) / highest;
    std::string bar;
    for (std::int64_t i = 0; i < length; ++i) bar += "█";
    const std::string blank = bar.empty() ? "" : " ";
    const std::string high = width == 1 ? "" : "- " + format_count(low + width - 1);
    text += fmt::format("  {:>{}} {:<{}}  {:>7}{}{}\n", format_count(low), digits, high, width == 1 ? 0 : digits + 2,
                        format_count(bins[bin]), blank, bar);
  }
  return text;
}

}  // namespace tatr
