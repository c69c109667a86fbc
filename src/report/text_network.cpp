#include <fmt/format.h>

#include "core/format.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

constexpr std::size_t kAllLayers = 8;  // up to here each layer has its line
constexpr std::size_t kFirstLayers = 4;
constexpr std::size_t kLastLayers = 2;

}  // namespace

std::string layers_section(const TextContext& context) {
  const auto& layers = context.experiment.routing;
  if (layers.size() < 2) return {};
  Table table({"Layer", "Least", "Median", "Most", "Variation", "Tensor"});
  const bool all = layers.size() <= kAllLayers;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const bool shown = all || i < kFirstLayers || i + kLastLayers >= layers.size();
    if (!shown) {
      if (i == kFirstLayers) table.add_row({fmt::format("... ({} more)", layers.size() - kFirstLayers - kLastLayers)});
      continue;
    }
    table.add_row({std::to_string(layers[i].layer), format_count(layers[i].count_min),
                   format_value(layers[i].count_median), format_count(layers[i].count_max),
                   format_value(layers[i].count_cv), shorten(layers[i].tensor, 30)});
  }
  return "Tokens per Expert, by Layer (variation: standard deviation over mean):\n" + table.render();
}

}  // namespace tatr
