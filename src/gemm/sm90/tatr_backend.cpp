#include "gemm/sm90/tatr_backend.hpp"

#include <cuda_runtime_api.h>

#include <limits>
#include <utility>
#include <vector>

#include "device/cache_flush.hpp"
#include "device/cuda_handles.hpp"
#include "gemm/sm90/tatr_gemm.hpp"

namespace tatr {

namespace {

class TatrBackend final : public GroupedGemm {
 public:
  TatrBackend(System& system, const GroupedGemmProblem& shape, std::int64_t rows, const GroupedGemmData& data)
      : system_(system), queue_(system, std::vector<std::int32_t>{0, 0}), device_(tatr_device_of(system.device())) {
    TatrProblem problem = tatr_problem_of(shape);
    if (shape.kind == GemmKind::kWeightGradient) problem.rows_bound = rows;
    if (!shape.tile_of_expert.empty()) problem.tile_rows = shape.tile_of_expert.back();
    const TatrPlan plan = make_plan(problem, device_);
    if (shape.swiglu_gradient && column_tiles_of(plan) > 1) {
      gate_parts_ = Buffer<float>(system, static_cast<std::size_t>(column_tiles_of(plan) * problem.rows_bound));
    }
    buffers_ = {data.a,
                data.token_index,
                data.w,
                data.offsets,
                data.c,
                queue_.data(),
                nullptr,
                data.product,
                data.gate,
                data.weighted,
                data.gate_gradient,
                gate_parts_.data()};
    for (const std::vector<std::int32_t>& launch : granules_of_launches(shape)) granules_.emplace_back(system, launch);
    use(plan);
  }

  void run() override {
    for (const TatrGemm& gemm : gemms_) gemm.launch(system_.stream());
  }

  void tune() override {
    constexpr int kRuns = 5;  // the first warms up; the least of the others counts
    CacheFlush flush(system_);
    float least = std::numeric_limits<float>::infinity();
    TatrPlan best = gemms_.front().plan();
    for (const TatrPlan& plan : candidate_plans(best.problem, device_)) {
      use(plan);
      for (int i = 0; i < kRuns; ++i) {
        flush.run();
        const float ms = time_ms();
        if (i == 0 || ms >= least) continue;
        least = ms;
        best = plan;
      }
    }
    use(best);
  }

  std::optional<int> launches() const override { return static_cast<int>(gemms_.size()); }
  std::optional<std::int64_t> granule_rows() const override {
    return granules_.empty() ? std::optional<std::int64_t>(gemms_.front().plan().granule_rows) : std::nullopt;
  }
  std::string variant() const override { return describe(gemms_.front().plan()); }
  std::string note() const override { return gemms_.front().plan().note; }

 private:
  void use(const TatrPlan& plan) {
    gemms_.clear();
    if (granules_.empty()) gemms_.emplace_back(plan, buffers_);
    for (const Buffer<std::int32_t>& granules : granules_) {
      buffers_.granules = granules.data();
      gemms_.emplace_back(plan, buffers_);
    }
  }

  float time_ms() {
    const CudaEvent start = make_cuda_event(), stop = make_cuda_event();
    TATR_CUDA_CHECK(cudaEventRecord(start.get(), system_.stream()));
    run();
    TATR_CUDA_CHECK(cudaEventRecord(stop.get(), system_.stream()));
    system_.synchronize();
    float milliseconds = 0.0f;
    TATR_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.get(), stop.get()));
    return milliseconds;
  }

  System& system_;
  Buffer<std::int32_t> queue_;
  Buffer<float> gate_parts_;
  TatrDevice device_;
  std::vector<Buffer<std::int32_t>> granules_;  // of each launch, where experts have tiles of their own
  TatrBuffers buffers_;
  std::vector<TatrGemm> gemms_;  // launched one after the other
};

}  // namespace

std::unique_ptr<GroupedGemm> make_tatr_backend(System& system, const GroupedGemmProblem& problem,
                                               const std::vector<std::int32_t>& offsets, const GroupedGemmData& data) {
  return std::make_unique<TatrBackend>(system, problem, offsets.back(), data);
}

}  // namespace tatr
