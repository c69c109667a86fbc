// down[r, :] = the activated row times its expert's [H, I].
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

GroupedGemmData data_of(const PassParts& parts) {
  const ExpertLayer& layer = parts.layer;
  return {layer.activated.data(), layer.down_weights.data(), layer.down.data(), parts.dispatch.offsets.data(), nullptr};
}

class DownStage final : public GemmStage {
 public:
  explicit DownStage(const PassParts& parts)
      : GemmStage(Stage::kDown, parts, parts.plan.down, data_of(parts), {parts.rows(parts.layer.down)}) {}

  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    const ExpertLayer& layer = parts().layer;
    const std::int64_t width = layer.shape.hidden;
    StageComparison comparison;
    for (const auto& [row, expert, columns] : samples.rows_by_expert(width)) {
      const std::vector<float> input = samples.row_of(layer.activated, row), output = samples.row_of(layer.down, row);
      for (const std::int64_t column : columns) {
        const std::vector<float> weight = samples.row_of(layer.down_weights, expert * width + column);
        comparison.add(row, output[static_cast<std::size_t>(column)], dot(input, weight));
      }
    }
    return {comparison};
  }
};

}  // namespace

std::unique_ptr<PassStage> make_down(const PassParts& parts) { return std::make_unique<DownStage>(parts); }

}  // namespace tatr
