#include "model/gemm_model.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <vector>

#include "core/integer_math.hpp"
#include "gemm/sm90/tatr_plan.hpp"
#include "gemm/sm90/tile_scheduler.cuh"

namespace tatr {

namespace {

const auto kElementBytes = static_cast<double>(bytes_of(DType::kBf16));
constexpr std::size_t kItemsAlike = 4;  // in a row, that are slowed down alike: far fewer than share memory

/// What an item of a cluster asks for.
struct ItemCost {
  double multiply_us = 0;   // of the cluster, were operands always there
  double l2_bytes = 0;      // into shared memory and out of it
  double memory_bytes = 0;  // its part of what the expert reads and writes once
};

/// One launch, whose items come in the scheduler's order.
class Launch {
 public:
  Launch(const GpuModel& gpu, const GroupedGemmProblem& problem, const TatrPlan& plan, const std::int32_t* granules)
      : gpu_(gpu),
        figures_(gpu.figures),
        problem_(problem),
        ping_pong_(plan.schedule == Schedule::kPingPong),
        columns_(block_columns(plan.schedule)),
        steps_(static_cast<double>(ceil_div<std::int64_t>(problem.k, kBlockDepth))),
        clusters_(plan.clusters),
        grid_{static_cast<std::int32_t>(problem.experts),
              static_cast<std::int32_t>(ceil_div<std::int64_t>(problem.n, columns_)), plan.granule_rows,
              plan.band_pairs, granules} {
    const double tile_flops = 2.0 * kBlockRows * columns_ * kBlockDepth;
    step_us_ = tile_flops * gpu.device.multiprocessors / figures_.flops * 1e6;
    if (ping_pong_) step_us_ *= figures_.gemm.ping_pong_step;
  }

  /// The clock depends on how much is multiplied and read in a time, and that time on the clock.
  double ms(std::span<const std::int32_t> rows) {
    for (std::size_t e = 0; e < rows.size(); ++e) add_expert(static_cast<std::int32_t>(e), rows[e]);
    if (items_.empty()) return figures_.gemm.launch_us * 1e-3;
    const std::vector<ItemCost> before = sums();
    const double multiply = before.back().multiply_us / clusters_;
    const double memory = before.back().memory_bytes / figures_.memory_bytes * 1e6;
    double gain = 1;
    for (int pass = 0; pass < 3; ++pass) {
      const double us = mean_us(before, gain);
      gain = clock_gain(gpu_, multiply / gain / us, memory / us);
    }
    return (figures_.gemm.launch_us + busy_us(before, gain)) * 1e-3;
  }

 private:
  void add_expert(std::int32_t expert, std::int32_t count) {
    TileGrid grid = grid_;
    if (grid.granule_of_expert != nullptr) grid.granule_rows = grid.granule_of_expert[expert];
    const std::int64_t items = items_of_expert(grid, count);
    if (items == 0) return;
    const double memory = expert_bytes(row_tiles(grid, count), count) / static_cast<double>(items);
    for (std::int64_t i = 0; i < items; ++i) {
      ItemCost cost =
          item_cost(item_of_expert(grid, expert, 0, count, i, 0), item_of_expert(grid, expert, 0, count, i, 1));
      cost.memory_bytes = memory;
      items_.push_back(cost);
    }
  }

  /// Rows are read and written once; weights once, and in part again by each further band.
  double expert_bytes(const RowTiles& tiles, std::int32_t count) const {
    const double bands =
        static_cast<double>(std::max<std::int64_t>(1, ceil_div<std::int64_t>(tiles.pairs, grid_.band_pairs)));
    const double width = static_cast<double>(problem_.swiglu ? problem_.n / 2 : problem_.n);
    const double weights =
        static_cast<double>(problem_.n * problem_.k) * (1 + (bands - 1) * figures_.gemm.band_rereads);
    return kElementBytes * (weights + count * (static_cast<double>(problem_.k) + width));
  }

  /// Of both CTAs, which go through k together.
  ItemCost item_cost(const TileItem& first, const TileItem& second) const {
    const GemmFigures& gemm = figures_.gemm;
    const double rows = first.half ? 0.5 : 1.0;
    double step = first.half ? (problem_.gather ? gemm.gathered_half_step : gemm.half_step) : 1.0;
    const std::int32_t whole = first.half ? kBlockRows / 2 : kBlockRows;
    const auto lacks_rows = [&](const TileItem& item) { return item.valid_rows > 0 && item.valid_rows < whole; };
    if (problem_.gather && (lacks_rows(first) || lacks_rows(second))) step *= gemm.partial_gather;
    const double a = kBlockRows * rows * kBlockDepth, b = static_cast<double>(columns_) * kBlockDepth;
    const double a_copies = !first.shares_rows || problem_.gather ? 2 : 1, b_copies = first.shares_rows ? 2 : 1;
    const double c = 2.0 * kBlockRows * rows * columns_ * (problem_.swiglu ? 0.5 : 1.0);
    const double epilogue = ping_pong_ ? gemm.ping_pong_epilogue_us : gemm.epilogue_us;
    return {steps_ * step_us_ * step + epilogue, kElementBytes * (steps_ * (a * a_copies + b * b_copies) + c), 0};
  }

  /// [items + 1]: of all items before each.
  std::vector<ItemCost> sums() const {
    std::vector<ItemCost> before(items_.size() + 1);
    for (std::size_t i = 0; i < items_.size(); ++i) {
      before[i + 1] = {before[i].multiply_us + items_[i].multiply_us, before[i].l2_bytes + items_[i].l2_bytes,
                       before[i].memory_bytes + items_[i].memory_bytes};
    }
    return before;
  }

  std::size_t window() const {
    return std::max<std::size_t>(1, static_cast<std::size_t>(figures_.gemm.window * clusters_));
  }

  /// What all clusters take if none is ever without an item.
  double mean_us(const std::vector<ItemCost>& before, double gain) const {
    double us = 0;
    for (std::size_t from = 0; from < items_.size(); from += window()) {
      const std::size_t to = std::min(items_.size(), from + window());
      const double multiply = (before[to].multiply_us - before[from].multiply_us) / gain / clusters_;
      us += multiply * slowdown(before[from], before[to], gain);
    }
    return us;
  }

  /// Each item goes to the cluster that is free first. While it runs it shares memory with the items about it: what
  /// those take together, of multiplying, memory or L2, is what it is slowed down to.
  double busy_us(const std::vector<ItemCost>& before, double gain) const {
    const std::size_t count = items_.size(), width = window();
    std::priority_queue<double, std::vector<double>, std::greater<>> free_at(
        std::greater<>(), std::vector<double>(static_cast<std::size_t>(clusters_), 0.0));
    double end = 0, slow = 1;
    for (std::size_t i = 0; i < count; ++i) {
      if (i % kItemsAlike == 0) {
        const std::size_t from = i > width / 2 ? i - width / 2 : 0;
        slow = slowdown(before[from], before[std::min(count, from + width)], gain);
      }
      const double at = free_at.top() + items_[i].multiply_us / gain * slow;
      free_at.pop();
      free_at.push(at);
      end = std::max(end, at);
    }
    return end;
  }

  double slowdown(const ItemCost& from, const ItemCost& to, double gain) const {
    const double p = figures_.gemm.sharpness;
    const double multiply = (to.multiply_us - from.multiply_us) / clusters_ / gain;
    const double memory = (to.memory_bytes - from.memory_bytes) / figures_.memory_bytes * 1e6;
    const double l2 = (to.l2_bytes - from.l2_bytes) / figures_.l2_bytes * 1e6;
    const double both = multiply * std::pow(1 + std::pow(memory / multiply, p), 1 / p);
    return std::max(both, l2) / multiply;
  }

  const GpuModel& gpu_;
  const GpuFigures& figures_;
  const GroupedGemmProblem& problem_;
  bool ping_pong_;
  std::int32_t columns_;
  double steps_, step_us_ = 0;
  std::int32_t clusters_;
  TileGrid grid_;
  std::vector<ItemCost> items_;
};

}  // namespace

double model_gemm_ms(const GpuModel& gpu, const GroupedGemmProblem& problem, std::span<const std::int32_t> rows) {
  TatrProblem own = tatr_problem_of(problem);
  if (!problem.tile_of_expert.empty()) own.tile_rows = problem.tile_of_expert.back();
  const TatrPlan plan = make_plan(own, {90, gpu.device.multiprocessors});
  const std::vector<std::vector<std::int32_t>> granules = granules_of_launches(problem);
  if (granules.empty()) return Launch(gpu, problem, plan, nullptr).ms(rows);
  double ms = 0;
  for (const std::vector<std::int32_t>& launch : granules) ms += Launch(gpu, problem, plan, launch.data()).ms(rows);
  return ms;
}

double model_uniform_gemm_ms(const GpuModel& gpu, const GroupedGemmProblem& problem, std::int64_t each) {
  const UniformFigures& uniform = gpu.figures.uniform;
  const auto n = static_cast<double>(problem.n), k = static_cast<double>(problem.k);
  const auto experts = static_cast<double>(problem.experts), rows = static_cast<double>(each);
  const double multiply = 2 * experts * rows * n * k * (1 + uniform.depth / k) / (uniform.rate * gpu.figures.flops);
  const double bytes = kElementBytes * experts * (n * k + rows * (n + k));
  const double memory = bytes / (uniform.memory_rate * gpu.figures.memory_bytes);
  if (each == 0) return uniform.launch_us * 1e-3;
  double gain = 1, seconds = 0;
  for (int pass = 0; pass < 3; ++pass) {
    seconds = std::max(multiply / gain, memory);
    gain = clock_gain(gpu, multiply / gain / seconds, memory / seconds);
  }
  return (uniform.launch_us * 1e-6 + seconds) * 1e3;
}

}  // namespace tatr
