// activated[r, i] = silu(up[r, i]) * up[r, I + i].
#include "layer/layer_kernels.hpp"
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

class ActivationStage final : public PassStage {
 public:
  explicit ActivationStage(const PassParts& parts)
      : PassStage(Stage::kActivation, parts, {parts.rows(parts.layer.activated)}), up_(parts.rows(parts.layer.up)) {}

  void run() override { swiglu(parts().layer.system, up_, outputs()[0]); }

  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    StageComparison comparison;
    for (const std::int64_t row : samples.rows()) {
      const std::vector<float> up = samples.row_of(parts().layer.up, row);
      const std::vector<float> h = samples.row_of(parts().layer.activated, row);
      for (std::size_t i = 0; i < h.size(); ++i) comparison.add(row, h[i], silu(up[i]) * up[i + h.size()]);
    }
    return {comparison};
  }

 private:
  TensorView up_;
};

}  // namespace

std::unique_ptr<PassStage> make_activation(const PassParts& parts) {
  return parts.plan.up.swiglu ? nullptr : std::make_unique<ActivationStage>(parts);
}

}  // namespace tatr
