// y[t, :] = the rows of token t, each times its gate, added up: back to the order of tokens. On the way back dX
// likewise of the gradients of the rows' x, which have their gates in them.
#include "layer/layer_kernels.hpp"
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

class CombineStage final : public PassStage {
 public:
  CombineStage(Stage stage, const PassParts& parts, const Tensor& to, bool gated)
      : PassStage(stage, parts, {to.view()}), to_(to), gated_(gated) {}

  void run() override {
    const ExpertLayer& layer = parts().layer;
    const float* gate = gated_ ? parts().dispatch.gate.data() : nullptr;
    combine_rows(layer.system, layer.down.view(), gate, parts().by_token, to_.view());
  }

  /// From the rows themselves, not from the list by token that combine uses.
  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    const std::vector<std::int32_t>& token_of_row = samples.token_of_row();
    StageComparison comparison("token");
    for (const std::int64_t token : samples.tokens()) {
      const std::vector<float> y = samples.row_of(to_, token);
      std::vector<double> sum(y.size(), 0.0);
      for (std::size_t row = 0; row < token_of_row.size(); ++row) {
        if (token_of_row[row] != token) continue;
        const std::vector<float> out = samples.row_of(parts().layer.down, static_cast<std::int64_t>(row));
        const double gate = gated_ ? static_cast<double>(samples.gates()[row]) : 1.0;
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += gate * out[i];
      }
      for (std::size_t i = 0; i < sum.size(); ++i) comparison.add(token, y[i], sum[i]);
    }
    return {comparison};
  }

 private:
  const Tensor& to_;
  bool gated_;
};

}  // namespace

std::unique_ptr<PassStage> make_combine(const PassParts& parts) {
  return std::make_unique<CombineStage>(Stage::kCombine, parts, parts.layer.y, true);
}

std::unique_ptr<PassStage> make_combine_gradient(const PassParts& parts) {
  if (!parts.plan.backward) return nullptr;
  return std::make_unique<CombineStage>(Stage::kCombineGradient, parts, parts.layer.d_x, false);
}

void combine(const PassParts& parts, const Buffer<float>& gates) {
  const ExpertLayer& layer = parts.layer;
  combine_rows(layer.system, layer.down.view(), gates.data(), parts.by_token, layer.y.view());
}

}  // namespace tatr
