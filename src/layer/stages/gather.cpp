// gathered[r, :] = x[token of row r, :]: the operand of the up-projection.
#include "layer/forward_kernels.hpp"
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

class GatherStage final : public PassStage {
 public:
  explicit GatherStage(const PassParts& parts) : PassStage(Stage::kGather, parts, parts.rows(parts.layer.gathered)) {}

  void run() override {
    gather_rows(parts().layer.system, parts().layer.x.view(), parts().dispatch.token.data(), output());
  }

  Comparison compare(const PassSamples& samples) const override {
    Comparison comparison;
    for (const std::int64_t row : samples.rows()) {
      const std::vector<float> x = samples.token_row(row), gathered = samples.row_of(parts().layer.gathered, row);
      for (std::size_t i = 0; i < x.size(); ++i) comparison.add(row, gathered[i], x[i]);
    }
    return comparison;
  }
};

}  // namespace

std::unique_ptr<PassStage> make_gather(const PassParts& parts) {
  return parts.plan.up.gather ? nullptr : std::make_unique<GatherStage>(parts);
}

}  // namespace tatr
