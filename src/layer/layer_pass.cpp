#include "layer/layer_pass.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "tensor/tensor_values.hpp"

namespace tatr {

LayerPass::LayerPass(ExpertLayer& layer, const Dispatch& dispatch, const LayerOptions& options)
    : parts_{layer, dispatch, plan_layer(layer.shape, options, layer.system.device()), dispatch.offsets.to_host(),
             rows_by_token(layer.system, dispatch, layer.shape.tokens)} {
  for (const StageInfo& stage : kStages) {
    if (auto made = stage.make(parts_)) stages_.push_back(std::move(made));
  }
}

void LayerPass::run() {
  for (const auto& stage : stages_) stage->run();
}

void LayerPass::run_forward() {
  for (const auto& stage : stages_) {
    if (!stage->backward()) stage->run();
  }
}

void LayerPass::tune() {
  for (const auto& stage : stages_) {
    if (stage->gemm() != nullptr) stage->gemm()->tune();
  }
}

void LayerPass::poison_outputs() {
  for (const auto& stage : stages_) {
    for (const TensorView& output : stage->outputs()) poison(parts_.layer.system, output);
  }
}

void LayerPass::combine_with(const Buffer<float>& gates) { combine(parts_, gates); }

const GroupedGemm& LayerPass::gemm_of(Stage stage) const {
  const auto found = std::find_if(stages_.begin(), stages_.end(), [&](const auto& s) { return s->stage() == stage; });
  return *(*found)->gemm();
}

namespace {

constexpr std::string_view kUniform = "cublas_uniform";

GroupedGemmProblem uniform_problem(std::int64_t experts, std::int64_t n, std::int64_t k) {
  GroupedGemmProblem problem;
  problem.experts = experts;
  problem.n = n;
  problem.k = k;
  problem.dtype = DType::kBf16;
  problem.kind = GemmKind::kUniformRows;
  return problem;
}

}  // namespace

bool UniformYardstick::runs_on(const DeviceInfo& device) {
  return why_not(*find_back_end(kUniform), std::array{uniform_problem(1, 8, 8)}, device).empty();
}

UniformYardstick::UniformYardstick(ExpertLayer& layer, const Dispatch& dispatch) {
  const LayerShape& s = layer.shape;
  const std::vector<std::int32_t> offsets = dispatch.offsets.to_host();
  const auto make = [&](std::int64_t n, std::int64_t k, const Tensor& a, const Tensor& w, const Tensor& c) {
    return find_back_end(kUniform)->make(layer.system, uniform_problem(s.experts, n, k), offsets,
                                         {a.data(), w.data(), c.data(), dispatch.offsets.data(), nullptr});
  };
  up_gemm_ = make(2 * s.intermediate, s.hidden, layer.gathered, layer.up_weights, layer.up);
  down_gemm_ = make(s.hidden, s.intermediate, layer.activated, layer.down_weights, layer.down);
}

}  // namespace tatr
