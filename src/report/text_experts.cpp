#include <fmt/format.h>

#include <algorithm>

#include "core/format.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

constexpr std::int64_t kHistogramBins = 12;
constexpr std::int64_t kHistogramBar = 40;

std::string expert_line(std::size_t expert, std::int64_t tokens, std::int64_t tiles, double last) {
  if (tiles == 0) return fmt::format("  Expert {}: {} tokens → no tile\n", expert, tokens);
  const std::string used = last == 1 ? "100% used" : fmt::format("tile {}: {} used", tiles, format_percent(last));
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
  return fmt::format("Before rounding, tile {}:\n", tile) +
         expert_lines(metrics.counts_before.size(), limit, [&](std::size_t expert) {
           const std::int64_t count = metrics.counts_before[expert];
           const std::int64_t needed = (count + tile - 1) / tile;
           const std::int64_t in_last = count - (needed - 1) * tile;
           return expert_line(expert, count, needed, static_cast<double>(in_last) / static_cast<double>(tile));
         });
}

std::string after_text(const StrategyRecord& record, int limit) {
  const RoundingMetrics& metrics = record.metrics;
  const std::size_t listed =
      std::min({metrics.counts_after.size(), metrics.tiles_per_expert.size(), metrics.last_tile_utilisation.size()});
  return fmt::format("After rounding, {}:\n", shorten(strategy_title(record.strategy), 60)) +
         expert_lines(listed, limit, [&](std::size_t expert) {
           return expert_line(expert, metrics.counts_after[expert], metrics.tiles_per_expert[expert],
                              metrics.last_tile_utilisation[expert]);
         });
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

std::string experts_section(const TextContext& context) {
  const auto& records = context.experiment.strategies;
  if (records.empty() || context.experiment.routing.size() > 1) return {};
  const std::int64_t tile = tile_group(records.front(), context.experiment.config);
  const int limit = context.options.experts;
  std::string text = tile > 0 ? before_text(records.front().metrics, tile, limit) : "";
  const auto rounding = std::find_if(records.begin(), records.end(), [](const StrategyRecord& record) {
    return record.strategy.kind != StrategyKind::kNone;
  });
  return rounding == records.end() ? text : text + after_text(*rounding, limit);
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
