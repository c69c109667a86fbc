// y[t, :] = the rows of token t, each times its gate, added up: back to the order of tokens.
#include "layer/forward_kernels.hpp"
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

class CombineStage final : public PassStage {
 public:
  explicit CombineStage(const PassParts& parts) : PassStage(Stage::kCombine, parts, parts.layer.y.view()) {}

  void run() override { combine(parts(), parts().dispatch.gate); }

  /// From the rows themselves, not from the list by token that combine uses.
  Comparison compare(const PassSamples& samples) const override {
    const std::vector<std::int32_t>& token_of_row = samples.token_of_row();
    Comparison comparison;
    for (const std::int64_t token : samples.tokens()) {
      const std::vector<float> y = samples.row_of(parts().layer.y, token);
      std::vector<double> sum(y.size(), 0.0);
      for (std::size_t row = 0; row < token_of_row.size(); ++row) {
        if (token_of_row[row] != token) continue;
        const std::vector<float> out = samples.row_of(parts().layer.down, static_cast<std::int64_t>(row));
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(samples.gates()[row]) * out[i];
      }
      for (std::size_t i = 0; i < sum.size(); ++i) comparison.add(token, y[i], sum[i]);
    }
    return comparison;
  }
};

}  // namespace

std::unique_ptr<PassStage> make_combine(const PassParts& parts) { return std::make_unique<CombineStage>(parts); }

void combine(const PassParts& parts, const Buffer<float>& gates) {
  const ExpertLayer& layer = parts.layer;
  combine_rows(layer.system, layer.down.view(), gates.data(), parts.by_token, layer.y.view());
}

}  // namespace tatr
