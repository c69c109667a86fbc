// up[r, :] = the row times its expert's [2I, H]; with gather and SwiGLU, where the back end fuses them. What is kept
// for the way back beside a fused SwiGLU is written, too.
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

GroupedGemmData data_of(const PassParts& parts) {
  GroupedGemmData data{parts.up_input().data(), parts.layer.up_weights.data(), parts.up_output().data(),
                       parts.dispatch.offsets.data(), parts.token_if(parts.plan.up.gather)};
  if (parts.plan.up.keep) data.product = parts.layer.up.data();
  return data;
}

std::vector<TensorView> outputs_of(const PassParts& parts) {
  std::vector<TensorView> outputs{parts.rows(parts.up_output())};
  if (parts.plan.up.keep) outputs.push_back(parts.rows(parts.layer.up));
  return outputs;
}

class UpStage final : public GemmStage {
 public:
  explicit UpStage(const PassParts& parts)
      : GemmStage(Stage::kUp, parts, parts.plan.up, data_of(parts), outputs_of(parts)) {}

  /// What is fused is compared with what its three stages would give from x itself.
  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    const ExpertLayer& layer = parts().layer;
    const bool gather = parts().plan.up.gather, swiglu = parts().plan.up.swiglu, keep = parts().plan.up.keep;
    const std::int64_t half = layer.shape.intermediate;
    StageComparison comparison, kept;
    for (const auto& [row, expert, columns] : samples.rows_by_expert(swiglu ? half : 2 * half)) {
      const std::vector<float> input = gather ? samples.token_row(row) : samples.row_of(layer.gathered, row);
      const std::vector<float> output = samples.row_of(parts().up_output(), row);
      const std::vector<float> product = keep ? samples.row_of(layer.up, row) : std::vector<float>();
      const auto expected = [&, first = expert * 2 * half](std::int64_t column) {
        return dot(input, samples.row_of(layer.up_weights, first + column));
      };
      for (const std::int64_t column : columns) {
        const auto c = static_cast<std::size_t>(column), other = static_cast<std::size_t>(half + column);
        const double a = expected(column);
        if (!swiglu) {
          comparison.add(row, output[c], a);
          continue;
        }
        const double b = expected(half + column);
        comparison.add(row, output[c], silu(a) * b);
        if (!keep) continue;
        kept.add(row, product[c], a);
        kept.add(row, product[other], b);
      }
    }
    return {comparison, kept};
  }
};

}  // namespace

std::unique_ptr<PassStage> make_up(const PassParts& parts) { return std::make_unique<UpStage>(parts); }

}  // namespace tatr
