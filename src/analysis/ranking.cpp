#include "analysis/ranking.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>

#include "analysis/gain.hpp"
#include "analysis/network.hpp"

namespace tatr {
namespace {

bool is_modelled(const NetworkRecord& network) { return network.timing_kind == TimingKind::kModelled; }

bool separated(const ExperimentRecord& experiment, const NetworkRecord& faster, const NetworkRecord& slower) {
  const Interval ratio = gain_over(experiment, slower, faster);
  return ratio.low > 1 || (!is_modelled(faster) && ratio.high < 1);
}

/// "up and none; nearest, budget and half": runs of neighbours that are not separated; empty where all are.
std::string unseparated(const ExperimentRecord& experiment, const std::vector<const NetworkRecord*>& ranked) {
  std::string text;
  for (std::size_t first = 0, last = 0; first < ranked.size(); first = ++last) {
    while (last + 1 < ranked.size() && !separated(experiment, *ranked[last], *ranked[last + 1])) ++last;
    for (std::size_t i = first; last > first && i <= last; ++i) {
      const char* joint = i > first ? (i == last ? " and " : ", ") : text.empty() ? "" : "; ";
      text += joint + ranked[i]->label;
    }
  }
  return text;
}

}  // namespace

std::vector<std::string> ranking_warnings(const ExperimentRecord& experiment) {
  std::map<std::int64_t, std::vector<std::vector<const NetworkRecord*>>> tiles;  // and, within, comparable times
  for (const NetworkRecord& network : experiment.network) {
    if (!network.layer_ms) continue;
    auto& tables = tiles[network.tile];
    const auto table = std::find_if(tables.begin(), tables.end(), [&](const auto& ranked) {
      return same_shape(*first_layer(experiment, *ranked.front()).timing, *first_layer(experiment, network).timing);
    });
    (table == tables.end() ? tables.emplace_back() : *table).push_back(&network);
  }
  std::vector<std::string> warnings;
  for (auto& [tile, tables] : tiles) {
    for (auto& ranked : tables) {
      std::stable_sort(ranked.begin(), ranked.end(),
                       [](const NetworkRecord* a, const NetworkRecord* b) { return *a->layer_ms < *b->layer_ms; });
      const std::string labels = unseparated(experiment, ranked);
      if (labels.empty()) continue;
      warnings.push_back(fmt::format("tile {}: too close to tell which is faster: {} ({})", tile, labels,
                                     is_modelled(*ranked.front())
                                         ? "their times differ by less than the model may err"
                                         : "their times differ by less than they vary; --thorough measures longer"));
    }
  }
  return warnings;
}

}  // namespace tatr
