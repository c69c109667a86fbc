// up[r, :] = the row times its expert's [2I, H]; with gather and SwiGLU, where the back end fuses them.
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

GroupedGemmData data_of(const PassParts& parts) {
  return {parts.up_input().data(), parts.layer.up_weights.data(), parts.up_output().data(),
          parts.dispatch.offsets.data(), parts.plan.up.gather ? parts.dispatch.token.data() : nullptr};
}

class UpStage final : public GemmStage {
 public:
  explicit UpStage(const PassParts& parts)
      : GemmStage(Stage::kUp, parts, parts.plan.up, data_of(parts), parts.rows(parts.up_output())) {}

  /// What is fused is compared with what its three stages would give from x itself.
  Comparison compare(const PassSamples& samples) const override {
    const ExpertLayer& layer = parts().layer;
    const bool gather = parts().plan.up.gather, swiglu = parts().plan.up.swiglu;
    const std::int64_t half = layer.shape.intermediate;
    Comparison comparison;
    for (const auto& [row, expert, columns] : samples.rows_by_expert(swiglu ? half : 2 * half)) {
      const std::vector<float> input = gather ? samples.token_row(row) : samples.row_of(layer.gathered, row);
      const std::vector<float> output = samples.row_of(parts().up_output(), row);
      const auto product = [&, first = expert * 2 * half](std::int64_t column) {
        return dot(input, samples.row_of(layer.up_weights, first + column));
      };
      for (const std::int64_t column : columns) {
        double expected = product(column);
        if (swiglu) expected = silu(expected) * product(half + column);
        comparison.add(row, output[static_cast<std::size_t>(column)], expected);
      }
    }
    return comparison;
  }
};

}  // namespace

std::unique_ptr<PassStage> make_up(const PassParts& parts) { return std::make_unique<UpStage>(parts); }

}  // namespace tatr
