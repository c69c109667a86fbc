// A stage in one pass: what it runs, what it writes and how that is checked. Each is a file of src/layer/stages/, made
// by its row of layer/stage.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "layer/expert_layer.hpp"
#include "layer/layer_plan.hpp"
#include "layer/samples.hpp"
#include "layer/stage.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// What the stages of a pass share.
struct PassParts {
  ExpertLayer& layer;
  const Dispatch& dispatch;
  LayerPlan plan;
  std::vector<std::int32_t> offsets;  // [E+1] on the host
  TokenRows by_token;

  /// Of a tensor of the layer's workspace, the rows that there are.
  TensorView rows(const Tensor& tensor) const { return tensor.view().first(dispatch.rows); }

  /// What the up-projection multiplies: x itself where it gathers.
  const Tensor& up_input() const { return plan.up.gather ? layer.x : layer.gathered; }
  /// What it writes: where SwiGLU is fused, that of the activation.
  const Tensor& up_output() const { return plan.up.swiglu ? layer.activated : layer.up; }

  // Of a training pass.
  const BackwardPlan& backward() const { return *plan.backward; }
  /// dY as the down-projection's gradients multiply it, and x as the up-projection's does.
  const Tensor& d_y_input() const { return backward().dgrad_down.gather ? layer.d_y : layer.gathered; }
  const Tensor& x_input() const { return backward().wgrad_up.gather ? layer.x : layer.gathered; }
  const std::int32_t* token_if(bool gather) const { return gather ? dispatch.token.data() : nullptr; }
};

class PassStage {
 public:
  /// `outputs`: what the stage writes, all of it. The parts must outlive it.
  PassStage(Stage stage, const PassParts& parts, std::vector<TensorView> outputs)
      : stage_(stage), parts_(parts), outputs_(std::move(outputs)) {}
  virtual ~PassStage() = default;
  PassStage(const PassStage&) = delete;
  PassStage& operator=(const PassStage&) = delete;

  virtual void run() = 0;

  /// Of what was written with fp64 sums over the stage's own input, before later stages write over that: one for each
  /// quantity whose size is its own.
  virtual std::vector<StageComparison> compare(const PassSamples& samples) const = 0;

  /// What runs, where it is a GEMM of the pass's back end; else null.
  virtual GroupedGemm* gemm() { return nullptr; }

  Stage stage() const { return stage_; }
  std::string_view name() const { return info_of(stage_).name; }
  bool backward() const { return info_of(stage_).backward; }
  const std::vector<TensorView>& outputs() const { return outputs_; }

 protected:
  const PassParts& parts() const { return parts_; }

 private:
  Stage stage_;
  const PassParts& parts_;
  std::vector<TensorView> outputs_;
};

/// A stage that is one GEMM; its check is still its own.
class GemmStage : public PassStage {
 public:
  GemmStage(Stage stage, const PassParts& parts, const GroupedGemmProblem& problem, const GroupedGemmData& data,
            std::vector<TensorView> outputs)
      : PassStage(stage, parts, std::move(outputs)),
        gemm_(parts.plan.back_end->make(parts.layer.system, problem, parts.offsets, data)) {}

  void run() override { gemm_->run(); }
  GroupedGemm* gemm() override { return gemm_.get(); }

 private:
  std::unique_ptr<GroupedGemm> gemm_;
};

/// The combine of a pass with gates [R] of whoever asks.
void combine(const PassParts& parts, const Buffer<float>& gates);

}  // namespace tatr
