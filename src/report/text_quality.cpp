// What rounding is estimated to cost: two kinds of model, never mixed, each with its error.
#include <fmt/format.h>

#include <algorithm>

#include "report/format.hpp"
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

std::string legend(const Calibration& calibration, bool layered, bool any_trained) {
  std::string text = fmt::format(
      "Post hoc: a model trained with plain top-k and rounded at evaluation{}; 90 % interval. Calibrated on '{}'",
      layered ? ", its layers counting alike" : ", if all its layers were like this one", calibration.name);
  if (calibration.median_error > 0) {
    text += fmt::format(", median error {} on settings left out", format_percent(calibration.median_error));
  }
  text = wrap(text + ".", 2);
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
  return heading("Estimated Perplexity Change", context.options) + table.render() +
         legend(*context.experiment.calibration, context.experiment.routing.size() > 1, any_trained);
}

}  // namespace tatr
