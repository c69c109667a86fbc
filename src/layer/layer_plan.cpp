#include "layer/layer_plan.hpp"

namespace tatr {

namespace {

BackwardPlan unfused_backward(const GroupedGemmProblem& forward, const LayerShape& shape) {
  const auto gemm = [&](GemmKind kind, std::int64_t n, std::int64_t k) {
    GroupedGemmProblem problem = forward;
    problem.kind = kind;
    problem.n = n;
    problem.k = k;
    return problem;
  };
  const std::int64_t hidden = shape.hidden, half = shape.intermediate;
  BackwardPlan plan{gemm(GemmKind::kDataGradient, half, hidden), gemm(GemmKind::kWeightGradient, hidden, half),
                    gemm(GemmKind::kDataGradient, hidden, 2 * half), gemm(GemmKind::kWeightGradient, hidden, 2 * half)};
  plan.wgrad_down.gradient = plan.wgrad_up.gradient = *shape.gradients;
  plan.wgrad_up.transpose = true;  // so that it is x that is gathered, whose rows are those of dY's
  return plan;
}

}  // namespace

LayerPlan unfused_plan(const LayerShape& shape, const LayerOptions& options, const DeviceInfo& device) {
  LayerPlan plan;
  GroupedGemmProblem& up = plan.up;
  up.experts = shape.experts;
  up.n = 2 * shape.intermediate;
  up.k = shape.hidden;
  up.tile_rows = options.tile_rows;
  up.rows_bound = shape.most_rows;
  up.tile_of_expert = options.tile_of_expert;
  up.launch_per_tile = options.launch_per_tile;
  up.dtype = gemm_dtype(device);
  plan.down = up;
  plan.down.n = shape.hidden;
  plan.down.k = shape.intermediate;
  if (shape.trains()) plan.backward = unfused_backward(up, shape);
  return plan;
}

std::vector<GroupedGemmProblem> gemms_of(const LayerPlan& plan) {
  std::vector<GroupedGemmProblem> gemms{plan.up, plan.down};
  if (const auto& backward = plan.backward) {
    gemms.insert(gemms.end(), {backward->dgrad_down, backward->wgrad_down, backward->dgrad_up, backward->wgrad_up});
  }
  return gemms;
}

LayerPlan plan_layer(const LayerShape& shape, const LayerOptions& options, const DeviceInfo& device) {
  const std::vector<GroupedGemmProblem> gemms = gemms_of(unfused_plan(shape, options, device));
  return plan_layer_with(choose_back_end(options.backend, gemms, device, options.backend_place), shape, options,
                         device);
}

LayerPlan plan_layer_with(const BackEnd& back_end, const LayerShape& shape, const LayerOptions& options,
                          const DeviceInfo& device) {
  LayerPlan plan = unfused_plan(shape, options, device);
  plan.back_end = &back_end;
  const auto can = [&](const GroupedGemmProblem& problem, bool GroupedGemmProblem::*what) {
    GroupedGemmProblem fused = problem;
    fused.*what = true;
    return back_end.why_not(fused, device).empty();
  };
  const auto gathers = [&](const GroupedGemmProblem& problem) {
    return options.fuse_gather && can(problem, &GroupedGemmProblem::gather);
  };
  plan.up.gather = gathers(plan.up);
  GroupedGemmProblem activates = plan.up;  // whoever trains wants the product itself, too
  activates.keep = shape.trains();
  if (options.fuse_swiglu && can(activates, &GroupedGemmProblem::swiglu)) {
    plan.up = activates;
    plan.up.swiglu = true;
  }
  if (!plan.backward) return plan;
  auto& [dgrad_down, wgrad_down, dgrad_up, wgrad_up] = *plan.backward;
  dgrad_down.gather = wgrad_down.gather = gathers(dgrad_down) && gathers(wgrad_down);  // of dY, in both or in none
  dgrad_down.swiglu_gradient = options.fuse_swiglu && can(dgrad_down, &GroupedGemmProblem::swiglu_gradient);
  wgrad_up.gather = gathers(wgrad_up);
  return plan;
}

}  // namespace tatr
