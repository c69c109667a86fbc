// Of the gradient of what SwiGLU gave, [R, I], and the product that it was made of: the gradient of that, d_up [R, 2I],
// what the down-projection's weight gradient multiplies, and the gate's gradient.
#include "layer/layer_kernels.hpp"
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

class SwigluGradientStage final : public PassStage {
 public:
  explicit SwigluGradientStage(const PassParts& parts)
      : PassStage(Stage::kSwigluGradient, parts,
                  {parts.rows(parts.layer.d_up), parts.rows(parts.layer.weighted), parts.rows(parts.layer.d_gate)}),
        up_(parts.rows(parts.layer.up)),
        gradient_(parts.rows(parts.layer.activated)) {}

  void run() override {
    swiglu_gradient(parts().layer.system, {up_, gradient_, parts().dispatch.gate.data()},
                    {outputs()[0], outputs()[1], static_cast<float*>(outputs()[2].data)});
  }

  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    const ExpertLayer& layer = parts().layer;
    StageComparison d_up, weighted, d_gate;
    for (const std::int64_t row : samples.rows()) {
      const std::vector<float> up = samples.row_of(layer.up, row), gradient = samples.row_of(layer.activated, row);
      const std::vector<float> own = samples.row_of(layer.d_up, row), product = samples.row_of(layer.weighted, row);
      const double gate = samples.gates()[static_cast<std::size_t>(row)];
      double sum = 0.0;
      for (std::size_t i = 0, half = gradient.size(); i < half; ++i) {
        const SwigluGradient expected = swiglu_gradient_at(up[i], up[half + i], gate, gradient[i]);
        d_up.add(row, own[i], expected.a);
        d_up.add(row, own[half + i], expected.b);
        weighted.add(row, product[i], expected.weighted);
        sum += gradient[i] * silu(up[i]) * up[half + i];
      }
      d_gate.add(row, samples.gate_gradient(row), sum);
    }
    return {d_up, weighted, d_gate};
  }

 private:
  TensorView up_, gradient_;
};

}  // namespace

std::unique_ptr<PassStage> make_swiglu_gradient(const PassParts& parts) {
  if (!parts.plan.backward || parts.backward().dgrad_down.swiglu_gradient) return nullptr;
  return std::make_unique<SwigluGradientStage>(parts);
}

}  // namespace tatr
