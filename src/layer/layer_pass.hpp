// A pass of the expert layer as a list of stages, those of layer/stage.hpp: forward, and backward where the layer has
// gradients. What a back end fuses into a GEMM is no stage of its own. The GEMMs are a back end's. Knows nothing of
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layer/pass_stage.hpp"

namespace tatr {

/// The pass bound to one dispatch and one back end. Layer and dispatch must outlive it.
class LayerPass {
 public:
  LayerPass(ExpertLayer& layer, const Dispatch& dispatch, const LayerOptions& options);
  LayerPass(const LayerPass&) = delete;
  LayerPass& operator=(const LayerPass&) = delete;

  /// In order. Those that are fused into another are not among them.
  const std::vector<std::unique_ptr<PassStage>>& stages() const { return stages_; }
  void run();
  /// Those alone that lead to the output.
  void run_forward();

  /// Measures the back end's variants and keeps the fastest. Of the last run's data only their kind matters.
  void tune();

  /// Fills every stage's output with NaN.
  void poison_outputs();

  /// After run_forward(), its last stage again with other gates, [R].
  void combine_with(const Buffer<float>& gates);

  std::string backend() const { return std::string(parts_.plan.back_end->name); }
  bool fuses_gather() const { return parts_.plan.up.gather; }
  bool fuses_swiglu() const { return parts_.plan.up.swiglu; }
  bool trains() const { return parts_.plan.backward.has_value(); }
  std::optional<std::int64_t> granule_rows(Stage gemm = Stage::kUp) const { return gemm_of(gemm).granule_rows(); }
  std::optional<int> launches() const { return gemm_of(Stage::kUp).launches(); }  // of each GEMM
  std::string variant(Stage gemm) const { return gemm_of(gemm).variant(); }
  std::string note() const { return gemm_of(Stage::kUp).note(); }

  const PassParts& parts() const { return parts_; }
  const TensorView& output() const { return parts_.layer.y.view(); }  // [T, H] of the last run

 private:
  const GroupedGemm& gemm_of(Stage stage) const;

  PassParts parts_;
  std::vector<std::unique_ptr<PassStage>> stages_;
};

/// The two GEMMs of the layer with R/E rows for every expert, by strided batched cuBLAS: what whole, equal counts would
/// cost. Writes over the layer's workspace.
class UniformYardstick {
 public:
  /// Whether a device can run it: a GPU, where libcublas is found.
  static bool runs_on(const DeviceInfo& device);

  UniformYardstick(ExpertLayer& layer, const Dispatch& dispatch);
  void up() { up_gemm_->run(); }
  void down() { down_gemm_->run(); }

 private:
  std::unique_ptr<GroupedGemm> up_gemm_, down_gemm_;
};

}  // namespace tatr
