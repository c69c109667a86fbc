// How a pass of the expert layer computes: the back end of its GEMMs and what that fuses. Decided from shapes and a
// description of the device, without data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "gemm/registry.hpp"
#include "layer/expert_layer.hpp"

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

/// The GEMMs of a backward pass: gradients of each row's data, and of the weights, through both projections.
struct BackwardPlan {
  GroupedGemmProblem dgrad_down, wgrad_down, dgrad_up, wgrad_up;
};

/// What the options come to for a layer on a device: no data are needed to say so.
struct LayerPlan {
  const BackEnd* back_end = nullptr;
  GroupedGemmProblem up, down;           // with what is fused
  std::optional<BackwardPlan> backward;  // of a layer that is trained; likewise
};

/// The GEMMs of the pass as the device's element type has them; nothing fused.
LayerPlan unfused_plan(const LayerShape& shape, const LayerOptions& options, const DeviceInfo& device);

/// Those of a plan, in the order that they run in.
std::vector<GroupedGemmProblem> gemms_of(const LayerPlan& plan);

/// Throws ConfigError, at options.backend_place, where no back end can, or not the one that is named.
LayerPlan plan_layer(const LayerShape& shape, const LayerOptions& options, const DeviceInfo& device);

/// The same with a back end that could run the layer, here or elsewhere.
LayerPlan plan_layer_with(const BackEnd& back_end, const LayerShape& shape, const LayerOptions& options,
                          const DeviceInfo& device);

}  // namespace tatr
