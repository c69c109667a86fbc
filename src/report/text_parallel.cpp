// Experts spread over ranks: who is busiest, and what goes over the wire.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/format.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

constexpr std::size_t kShownRanks = 8;  // more have no column of their own

/// Of all layers of a network: sums, and in `busiest_tiles` the tiles of each layer's busiest rank, for layers wait for
/// it.
struct Ranks {
  std::vector<std::int64_t> tiles;
  std::int64_t busiest_tiles = 0, all_tiles = 0, wire_rows = 0, wire_copies = 0;
  std::optional<std::int64_t> wire_bytes = 0;
};

Ranks ranks_of(const TextContext& context, const NetworkRecord& network) {
  Ranks sum;
  for (const std::size_t layer : network.layers) {
    const ParallelRecord& own = *context.experiment.strategies[layer].parallel;
    sum.tiles.resize(own.ranks.size(), 0);
    std::int64_t most = 0;
    for (std::size_t rank = 0; rank < own.ranks.size(); ++rank) {
      sum.tiles[rank] += own.ranks[rank].tiles;
      sum.all_tiles += own.ranks[rank].tiles;
      most = std::max(most, own.ranks[rank].tiles);
    }
    sum.busiest_tiles += most;
    sum.wire_rows += own.wire_rows;
    sum.wire_copies += own.wire_copies;
    if (own.wire_bytes && sum.wire_bytes) {
      *sum.wire_bytes += *own.wire_bytes;
    } else {
      sum.wire_bytes.reset();
    }
  }
  return sum;
}

std::string over_mean(const Ranks& ranks) {
  if (ranks.all_tiles == 0) return kAbsent;
  return fmt::format("{:.3f}", static_cast<double>(ranks.busiest_tiles) * static_cast<double>(ranks.tiles.size()) /
                                   static_cast<double>(ranks.all_tiles));
}

std::string placement_words(const ParallelConfig& parallel) {
  switch (parallel.placement) {
    case PlacementKind::kRoundRobin:
      return "experts in turns";
    case PlacementKind::kByLoad:
      return "experts by load";
    case PlacementKind::kListed:
      return "experts as listed";
    default:
      return "experts in blocks";
  }
}

std::string rounding_words(const ParallelConfig& parallel) {
  switch (parallel.rounding) {
    case RankRounding::kPerRank:
      return "each rank rounds its own tokens";
    case RankRounding::kPerFragment:
      return "each rank pads what it has for each expert";
    default:
      return "rounded once for all ranks";
  }
}

/// Tiles of `none`'s busiest rank over those of another's: what rounding gains where all wait for it.
std::string gain_cell(std::int64_t before, const Ranks& ranks) {
  if (before == 0 || ranks.busiest_tiles == 0) return kAbsent;
  return fmt::format("{:.2f}×", static_cast<double>(before) / static_cast<double>(ranks.busiest_tiles));
}

std::string ranks_table(const TextContext& context, const std::vector<const NetworkRecord*>& networks) {
  const auto count = static_cast<std::size_t>(context.experiment.config.parallel->ranks);
  const std::size_t shown = count <= kShownRanks ? count : 0;
  const auto none = std::find_if(networks.begin(), networks.end(),
                                 [](const NetworkRecord* one) { return one->kind == StrategyKind::kNone; });
  const std::int64_t before = none == networks.end() ? 0 : ranks_of(context, **none).busiest_tiles;
  std::vector<std::string> heads = {"Strategy",   "Tiles",     "Busiest rank", "Over mean",
                                    "Tile ratio", "Rows sent", "Copies sent",  "MB sent"};
  for (std::size_t rank = 0; rank < shown; ++rank) heads.push_back(fmt::format("Rank {}", rank));
  Table table(heads);
  for (const NetworkRecord* network : networks) {
    const Ranks ranks = ranks_of(context, *network);
    const auto& bytes = ranks.wire_bytes;
    std::vector<std::string> cells = {strategy_cell(network->label),
                                      format_count(ranks.all_tiles),
                                      format_count(ranks.busiest_tiles),
                                      over_mean(ranks),
                                      gain_cell(before, ranks),
                                      format_count(ranks.wire_rows),
                                      format_count(ranks.wire_copies),
                                      bytes ? format_value(static_cast<double>(*bytes) * 1e-6) : std::string(kAbsent)};
    for (std::size_t rank = 0; rank < shown; ++rank) cells.push_back(format_count(ranks.tiles[rank]));
    table.add_row(cells);
  }
  return table.render();
}

}  // namespace

std::string parallel_words(const ParallelConfig& parallel) {
  return fmt::format("{} ranks, {}, {}", parallel.ranks, placement_words(parallel), rounding_words(parallel));
}

std::string parallel_section(const TextContext& context) {
  const auto& config = context.experiment.config.parallel;
  if (!config || context.networks.empty() || !context.first(context.networks.front()).parallel) return {};
  return heading("Ranks", context.options) + wrap(first_upper(parallel_words(*config)) + ":") +
         for_each_tile(context, [&](const auto& networks) { return ranks_table(context, networks); }) +
         wrap(fmt::format(
             "Tiles are of each rank's experts; of several layers, each layer's busiest rank is taken, for all "
             "wait for it, and the tile ratio is of its tiles. Rows go to experts of other ranks, one way; "
             "copies: one for each rank that needs a token; bytes are of {}. Counted, not timed: the layer "
             "is not run.",
             config->dedup ? "copies" : "rows"));
}

}  // namespace tatr
