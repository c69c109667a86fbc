// What rounding is estimated to cost: two kinds of model, never mixed, each with its error.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/format.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

std::string interval_words(const PerplexityEstimate& estimate) {
  if (estimate.low == estimate.high) return format_change(estimate.value);
  return fmt::format("{} [{}, {}]", format_change(estimate.value), format_change(estimate.low),
                     format_change(estimate.high));
}

/// The part of a reason before its colon: "out of range".
std::string brief_reason(const std::string& why) { return shorten(why.substr(0, why.find(':')), 24); }

using Remarks = std::vector<std::pair<std::string, std::vector<std::string>>>;

void add_remark(Remarks& remarks, const std::string& text, const std::string& label) {
  auto found = std::find_if(remarks.begin(), remarks.end(), [&](const auto& one) { return one.first == text; });
  if (found == remarks.end()) found = remarks.insert(remarks.end(), {text, {}});
  std::vector<std::string>& labels = found->second;
  if (std::find(labels.begin(), labels.end(), label) == labels.end()) labels.push_back(label);
}

/// Each remark with the labels it goes for, or none where it goes for all `strategies`.
std::string remark_lines(const Remarks& remarks, const char* title, std::size_t strategies) {
  constexpr std::size_t kMost = 6;
  std::string lines;
  for (const auto& [text, labels] : remarks) {
    std::string names;
    for (std::size_t i = 0; i < std::min(labels.size(), kMost); ++i) names += (i == 0 ? "" : ", ") + labels[i];
    if (labels.size() > kMost) names += fmt::format(" and {} more", labels.size() - kMost);
    lines += wrap(fmt::format("{}: {}{}.", title, text, labels.size() == strategies ? "" : " (" + names + ")"), 2);
  }
  return lines;
}

/// Why there are estimates missing, and what those that are there rest on no measurement for.
std::string reservations(const std::vector<NetworkRecord>& networks) {
  Remarks missing, beyond, all;
  for (const NetworkRecord& network : networks) {
    if (network.kind == StrategyKind::kNone) continue;
    const std::string label = strategy_cell(network.label);
    add_remark(all, "", label);
    const std::string& why = network.quality.why_not;
    if (!why.empty() && why.find(':') == std::string::npos) add_remark(missing, why, label);  // else the table says it
    for (const std::string& what : network.quality.beyond) add_remark(beyond, what, label);
  }
  const std::size_t strategies = all.empty() ? 0 : all.front().second.size();
  return remark_lines(missing, "No estimate", strategies) +
         remark_lines(beyond, "Estimated beyond the measurements", strategies);
}

std::string legend(const ExperimentRecord& experiment, bool any_trained) {
  const Calibration& calibration = *experiment.calibration;
  std::string text =
      fmt::format("Post hoc: a model trained with plain top-k and rounded at evaluation{}; by '{}'",
                  experiment.routing.size() > 1 ? "" : ", if all its layers were like this one", calibration.name);
  if (calibration.median_error > 0 && !is_ranking(experiment.network)) {
    text += fmt::format(", median error {} on what was left out of its fit", format_percent(calibration.median_error));
  }
  text += experiment.reach.empty() ? "." : ". [90%]: " + experiment.reach + ".";
  text = wrap(text, 2);
  if (any_trained) {
    text += wrap(fmt::format("Trained: trained with this rounding, evaluated without it; by tokens per expert over "
                             "tile, from {}; the interval is by how much one published model misses another.",
                             calibration.trained_source),
                 2);
  }
  return text;
}

}  // namespace

std::string perplexity_words(const QualityEstimate& quality) {
  if (quality.post_hoc) return interval_words(*quality.post_hoc);
  return quality.why_not.empty() ? "not estimated" : quality.why_not;
}

std::string quality_section(const TextContext& context) {
  const auto rounds = [](const NetworkRecord& network) { return network.kind != StrategyKind::kNone; };
  const std::vector<NetworkRecord>& networks = context.networks;
  if (!context.experiment.calibration || std::none_of(networks.begin(), networks.end(), rounds)) return {};
  const bool several_tiles = std::any_of(networks.begin(), networks.end(), [&](const NetworkRecord& network) {
    return network.tile != networks.front().tile;
  });
  Table table({"Strategy", "Tile", "Post hoc [90%]", "Trained"});
  bool any_trained = false;
  for (const NetworkRecord& network : networks) {
    if (!rounds(network)) continue;
    const QualityEstimate& quality = network.quality;
    const std::string tile = network.own_tiles ? "by load" : std::to_string(network.tile);
    any_trained = any_trained || quality.trained;
    table.add_row({strategy_cell(network.label), several_tiles || network.own_tiles ? tile : "",
                   quality.post_hoc ? interval_words(*quality.post_hoc) : brief_reason(quality.why_not),
                   quality.trained ? interval_words(*quality.trained) : kAbsent});
  }
  return heading("Estimated Perplexity Change", context.options) + table.render() + reservations(networks) +
         legend(context.experiment, any_trained);
}

}  // namespace tatr
