#include "layer/forward.hpp"

#include <string_view>
#include <utility>

#include "layer/forward_kernels.hpp"
#include "tensor/tensor_values.hpp"

namespace tatr {

std::array<GroupedGemmProblem, 2> gemm_problems(const LayerShape& shape, const LayerOptions& options,
                                                const DeviceInfo& device) {
  GroupedGemmProblem up;
  up.experts = shape.experts;
  up.n = 2 * shape.intermediate;
  up.k = shape.hidden;
  up.tile_rows = options.tile_rows;
  up.rows_bound = shape.most_rows;
  up.tile_of_expert = options.tile_of_expert;
  up.launch_per_tile = options.launch_per_tile;
  up.dtype = gemm_dtype(device);
  GroupedGemmProblem down = up;
  down.n = shape.hidden;
  down.k = shape.intermediate;
  return {up, down};
}

ForwardPlan plan_forward(const LayerShape& shape, const LayerOptions& options, const DeviceInfo& device) {
  const std::array<GroupedGemmProblem, 2> problems = gemm_problems(shape, options, device);
  return plan_forward_with(choose_back_end(options.backend, problems, device, options.backend_place), shape, options,
                           device);
}

ForwardPlan plan_forward_with(const BackEnd& back_end, const LayerShape& shape, const LayerOptions& options,
                              const DeviceInfo& device) {
  const std::array<GroupedGemmProblem, 2> problems = gemm_problems(shape, options, device);
  ForwardPlan plan{&back_end, problems[0], problems[1]};
  const auto fuses = [&](bool GroupedGemmProblem::*what) {
    GroupedGemmProblem fused = plan.up;
    fused.*what = true;
    return plan.back_end->why_not(fused, device).empty();
  };
  plan.up.gather = options.fuse_gather && fuses(&GroupedGemmProblem::gather);
  plan.up.swiglu = options.fuse_swiglu && fuses(&GroupedGemmProblem::swiglu);
  return plan;
}

ForwardPass::ForwardPass(ExpertLayer& layer, const Dispatch& dispatch, const LayerOptions& options)
    : layer_(layer),
      dispatch_(dispatch),
      plan_(plan_forward(layer.shape, options, layer.system.device())),
      offsets_(dispatch.offsets.to_host()),
      by_token_(rows_by_token(layer.system, dispatch, layer.shape.tokens)) {
  System& system = layer.system;
  const bool gather = plan_.up.gather, swiglu_too = plan_.up.swiglu;
  const Tensor& up_input = gather ? layer.x : layer.gathered;
  const Tensor& up_output = swiglu_too ? layer.activated : layer.up;
  const std::int32_t* offsets = dispatch.offsets.data();
  up_gemm_ = plan_.back_end->make(
      system, plan_.up, offsets_,
      {up_input.data(), layer.up_weights.data(), up_output.data(), offsets, gather ? dispatch.token.data() : nullptr});
  down_gemm_ =
      plan_.back_end->make(system, plan_.down, offsets_,
                           {layer.activated.data(), layer.down_weights.data(), layer.down.data(), offsets, nullptr});

  const auto rows = [&](const Tensor& tensor) { return tensor.view().first(dispatch.rows); };
  const auto add = [&](Stage stage, const TensorView& output, std::function<void()> run) {
    stages_.push_back({stage, std::move(run), output});
  };
  if (!gather) {
    add(Stage::kGather, rows(layer.gathered), [this, &system, out = rows(layer.gathered)] {
      gather_rows(system, layer_.x.view(), dispatch_.token.data(), out);
    });
  }
  add(Stage::kUp, rows(up_output), [this] { up_gemm_->run(); });
  if (!swiglu_too) {
    add(Stage::kActivation, rows(layer.activated),
        [&system, in = rows(layer.up), out = rows(layer.activated)] { swiglu(system, in, out); });
  }
  add(Stage::kDown, rows(layer.down), [this] { down_gemm_->run(); });
  add(Stage::kCombine, layer.y.view(), [this] { combine_with(dispatch_.gate); });
}

void ForwardPass::run() {
  for (const PassStage& stage : stages_) stage.run();
}

void ForwardPass::tune() {
  up_gemm_->tune();
  down_gemm_->tune();
}

void ForwardPass::poison_outputs() {
  for (const PassStage& stage : stages_) poison(layer_.system, stage.output);
}

void ForwardPass::combine_with(const Buffer<float>& gates) {
  combine_rows(layer_.system, layer_.down.view(), gates.data(), by_token_, layer_.y.view());
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
