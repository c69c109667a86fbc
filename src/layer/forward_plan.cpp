#include "layer/forward_plan.hpp"

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

}  // namespace tatr
