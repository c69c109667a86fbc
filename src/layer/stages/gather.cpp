// gathered[r, :] = x[token of row r, :]: the operand of the up-projection. On the way back the same of dY, and of x
// once more where dY has taken its place.
#include "layer/layer_kernels.hpp"
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

class GatherStage final : public PassStage {
 public:
  GatherStage(Stage stage, const PassParts& parts, const Tensor& from)
      : PassStage(stage, parts, {parts.rows(parts.layer.gathered)}), from_(from) {}

  void run() override { gather_rows(parts().layer.system, from_.view(), parts().dispatch.token.data(), outputs()[0]); }

  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    StageComparison comparison;
    for (const std::int64_t row : samples.rows()) {
      const std::vector<float> from = samples.token_row(from_, row);
      const std::vector<float> gathered = samples.row_of(parts().layer.gathered, row);
      for (std::size_t i = 0; i < from.size(); ++i) comparison.add(row, gathered[i], from[i]);
    }
    return {comparison};
  }

 private:
  const Tensor& from_;
};

}  // namespace

std::unique_ptr<PassStage> make_gather(const PassParts& parts) {
  if (parts.plan.up.gather) return nullptr;
  return std::make_unique<GatherStage>(Stage::kGather, parts, parts.layer.x);
}

std::unique_ptr<PassStage> make_gather_gradient(const PassParts& parts) {
  if (!parts.plan.backward || parts.backward().dgrad_down.gather) return nullptr;
  return std::make_unique<GatherStage>(Stage::kGatherGradient, parts, parts.layer.d_y);
}

std::unique_ptr<PassStage> make_gather_again(const PassParts& parts) {
  if (!parts.plan.backward || parts.backward().wgrad_up.gather) return nullptr;
  const bool whole = !parts.plan.up.gather && parts.backward().dgrad_down.gather;  // as the forward pass left it
  return whole ? nullptr : std::make_unique<GatherStage>(Stage::kGatherAgain, parts, parts.layer.x);
}

}  // namespace tatr
