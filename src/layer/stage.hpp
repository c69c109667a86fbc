// The stages of the expert layer, one row each: what a pass does one after the other, and what times are kept for. How
// a stage runs and is verified is in a file of its own, src/layer/stages/.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>

namespace tatr {

enum class Stage {
  kGather,
  kUp,
  kActivation,
  kDown,
  kCombine,
  kGatherGradient,
  kDgradDown,
  kSwigluGradient,
  kWgradDown,
  kDgradUp,
  kCombineGradient,
  kGatherAgain,
  kWgradUp
};

class PassStage;
struct PassParts;

/// The stage in one pass (layer/pass_stage.hpp); null where the pass does not have it.
using MakeStage = std::unique_ptr<PassStage>(const PassParts& parts);
MakeStage make_gather, make_up, make_activation, make_down, make_combine;
MakeStage make_gather_gradient, make_dgrad_down, make_swiglu_gradient, make_wgrad_down, make_dgrad_up,
    make_combine_gradient, make_gather_again, make_wgrad_up;

struct StageInfo {
  Stage stage;
  std::string_view name;    // in words
  std::string_view metric;  // its time in results
  MakeStage* make;
  bool backward = false;       // of a training pass only, after all that go forward
  std::string_view gemm = {};  // its key in results, where it is a GEMM
};

/// In the order of Stage, which is the order that they run in.
inline constexpr std::array<StageInfo, 13> kStages = {{
    {Stage::kGather, "gather", "gather_ms", make_gather},
    {Stage::kUp, "up-projection", "up_ms", make_up, false, "up"},
    {Stage::kActivation, "SwiGLU", "activation_ms", make_activation},
    {Stage::kDown, "down-projection", "down_ms", make_down, false, "down"},
    {Stage::kCombine, "combine", "combine_ms", make_combine},
    {Stage::kGatherGradient, "gather of dY", "gather_dy_ms", make_gather_gradient, true},
    {Stage::kDgradDown, "data gradient, down", "dgrad_down_ms", make_dgrad_down, true, "dgrad_down"},
    {Stage::kSwigluGradient, "SwiGLU gradient", "swiglu_gradient_ms", make_swiglu_gradient, true},
    {Stage::kWgradDown, "weight gradient, down", "wgrad_down_ms", make_wgrad_down, true, "wgrad_down"},
    {Stage::kDgradUp, "data gradient, up", "dgrad_up_ms", make_dgrad_up, true, "dgrad_up"},
    {Stage::kCombineGradient, "combine of dX", "combine_dx_ms", make_combine_gradient, true},
    {Stage::kGatherAgain, "gather again", "gather_again_ms", make_gather_again, true},
    {Stage::kWgradUp, "weight gradient, up", "wgrad_up_ms", make_wgrad_up, true, "wgrad_up"},
}};

constexpr std::size_t index_of(Stage stage) { return static_cast<std::size_t>(stage); }
constexpr const StageInfo& info_of(Stage stage) { return kStages[index_of(stage)]; }

}  // namespace tatr
