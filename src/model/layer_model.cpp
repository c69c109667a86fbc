#include "model/layer_model.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/gemm_model.hpp"

namespace tatr {

namespace {

const auto kElementBytes = static_cast<double>(bytes_of(DType::kBf16));

/// What reads and writes memory, and does little besides.
double copy_ms(const GpuModel& gpu, double elements) {
  return gpu.figures.combine.launch_us * 1e-3 + kElementBytes * elements / gpu.figures.combine.bytes * 1e3;
}

double combine_ms(const GpuModel& gpu, double rows, double tokens, double hidden) {
  const CombineFigures& combine = gpu.figures.combine;
  const double by_bytes = kElementBytes * (rows + tokens) * hidden / combine.bytes * 1e3;
  const double by_elements = (rows * combine.row_ps + tokens * combine.token_ps) * hidden * 1e-9;
  const double by_turns = rows / tokens * combine.turn_us * 1e-3;
  return combine.launch_us * 1e-3 + std::max({by_bytes, by_elements, by_turns});
}

/// What a rounding looks at decides which kernels run.
double rounding_base_us(const RoundingFigures& figures, const StrategyConfig& strategy) {
  if (strategy.kind == StrategyKind::kBudget) return figures.budget_us;
  return may_add_rows(strategy) ? figures.fills_us : figures.counts_us;
}

}  // namespace

ModelledForward model_forward(const GpuModel& gpu, const LayerShape& shape, const LayerOptions& options,
                              std::span<const std::int32_t> rows) {
  LayerPlan plan = unfused_plan(shape, options, gpu.device);
  GroupedGemmProblem &up = plan.up, &down = plan.down;
  up.gather = options.fuse_gather;
  up.swiglu = options.fuse_swiglu;
  const std::int64_t all = std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
  const auto total = static_cast<double>(all), tokens = static_cast<double>(shape.tokens);
  const auto hidden = static_cast<double>(shape.hidden), intermediate = static_cast<double>(shape.intermediate);

  ModelledForward times;
  const auto set = [&](Stage stage, double ms) {
    times.stage_ms[index_of(stage)] = ms;
    times.layer_ms += ms;
  };
  if (!options.fuse_gather) set(Stage::kGather, copy_ms(gpu, 2 * total * hidden));
  set(Stage::kUp, model_gemm_ms(gpu, up, rows));
  if (!options.fuse_swiglu) set(Stage::kActivation, copy_ms(gpu, 3 * total * intermediate));
  set(Stage::kDown, model_gemm_ms(gpu, down, rows));
  set(Stage::kCombine, combine_ms(gpu, total, tokens, hidden));
  const std::int64_t each = all / shape.experts;
  times.uniform_ms = model_uniform_gemm_ms(gpu, up, each) + model_uniform_gemm_ms(gpu, down, each);
  return times;
}

double model_routing_us(const GpuModel& gpu, const RouterConfig& router) {
  const RoutingFigures& routing = gpu.figures.routing;
  const auto tokens = static_cast<double>(router.tokens), experts = static_cast<double>(router.experts);
  const double logits = router.logits == LogitType::kBf16 ? 0.5 : 1.0;
  return routing.launch_us + tokens * (routing.token_ns + experts * logits * routing.logit_ns) * 1e-3 +
         (router.groups ? routing.groups_us : 0.0);
}

double model_rounding_us(const GpuModel& gpu, const StrategyConfig& strategy, std::span<const std::int32_t> counts) {
  constexpr double kSortedAtOnce = 2048;  // rows; rounding/kernels/sort.cuh
  const RoundingFigures& rounding = gpu.figures.rounding;
  const auto rows = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  const auto largest = static_cast<double>(*std::max_element(counts.begin(), counts.end()));
  const double merges = largest > kSortedAtOnce ? std::ceil(std::log2(largest / kSortedAtOnce)) : 0.0;
  double us = rounding_base_us(rounding, strategy) + rows * rounding.row_ns * 1e-3;
  us += largest * (rounding.sort_ns + merges * rounding.merge_ns) * 1e-3;
  if (may_add_rows(strategy)) us += static_cast<double>(counts.size()) * rounding.expert_ns * 1e-3;
  return us;
}

}  // namespace tatr
