// The forward pass of the expert layer as a list of stages: gather, up-projection, SwiGLU, down-projection, combine by
// gates into token order. What a back end fuses into the up-projection is no stage of its own. The GEMMs are a back
// end's. Knows nothing of time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "gemm/registry.hpp"
#include "layer/expert_layer.hpp"
#include "layer/stage.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// How a pass computes. The fusions are taken by back ends that can; others keep their own stages.
struct LayerOptions {
  std::string backend = "auto";
  std::int64_t tile_rows = 128;
  bool fuse_gather = true;                        // gather in the up-projection's operand load
  bool fuse_swiglu = true;                        // SwiGLU in its epilogue
  std::vector<std::int32_t> tile_of_expert = {};  // [E] where experts differ, in place of tile_rows; else empty
  bool launch_per_tile = false;                   // then: a launch for each size, not one for all
  ErrorPlace backend_place = {};                  // of the back end's name in the config
};

/// What the options come to for a layer on a device: no data are needed to say so.
struct ForwardPlan {
  const BackEnd* back_end = nullptr;
  GroupedGemmProblem up, down;  // with what is fused
};

/// The GEMMs of the pass, up and down, as the device's element type has them; nothing fused.
std::array<GroupedGemmProblem, 2> gemm_problems(const LayerShape& shape, const LayerOptions& options,
                                                const DeviceInfo& device);

/// Throws ConfigError, at options.backend_place, where no back end can, or not the one that is named.
ForwardPlan plan_forward(const LayerShape& shape, const LayerOptions& options, const DeviceInfo& device);

/// The same with a back end that could run the layer, here or elsewhere.
ForwardPlan plan_forward_with(const BackEnd& back_end, const LayerShape& shape, const LayerOptions& options,
                              const DeviceInfo& device);

/// A step of a pass.
struct PassStage {
  Stage stage;
  std::function<void()> run;
  TensorView output;  // of the rows that there are
};

/// The pass bound to one dispatch and one back end. Layer and dispatch must outlive it.
class ForwardPass {
 public:
  ForwardPass(ExpertLayer& layer, const Dispatch& dispatch, const LayerOptions& options);
  ForwardPass(const ForwardPass&) = delete;
  ForwardPass& operator=(const ForwardPass&) = delete;

  /// In order. Those that are fused into another are not among them.
  const std::vector<PassStage>& stages() const { return stages_; }
  void run();

  /// Measures the back end's variants on the data of the last run and keeps the fastest.
  void tune();

  /// Fills every stage's output with NaN.
  void poison_outputs();

  /// The last stage again with other gates, [R].
  void combine_with(const Buffer<float>& gates);

  std::string backend() const { return std::string(plan_.back_end->name); }
  bool fuses_gather() const { return plan_.up.gather; }
  bool fuses_swiglu() const { return plan_.up.swiglu; }
  std::optional<std::int64_t> granule_rows() const { return up_gemm_->granule_rows(); }
  std::optional<int> launches() const { return up_gemm_->launches(); }  // of each GEMM
  std::string up_variant() const { return up_gemm_->variant(); }
  std::string down_variant() const { return down_gemm_->variant(); }
  std::string note() const { return up_gemm_->note(); }

  ExpertLayer& layer() const { return layer_; }
  const Dispatch& dispatch() const { return dispatch_; }
  const std::vector<std::int32_t>& offsets() const { return offsets_; }  // [E+1] on the host
  const TensorView& output() const { return layer_.y.view(); }           // [T, H] of the last run

 private:
  ExpertLayer& layer_;
  const Dispatch& dispatch_;
  ForwardPlan plan_;
  std::vector<std::int32_t> offsets_;
  TokenRows by_token_;
  std::unique_ptr<GroupedGemm> up_gemm_, down_gemm_;
  std::vector<PassStage> stages_;
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
