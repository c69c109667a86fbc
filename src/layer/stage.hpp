// The stages of the expert layer, one row each: what a pass does one after the other, and what times are kept for. How
// a stage runs and is verified is in a file of its own, src/layer/stages/.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>

namespace tatr {

enum class Stage { kGather, kUp, kActivation, kDown, kCombine };

class PassStage;
struct PassParts;

/// The stage in one pass (layer/pass_stage.hpp); null where the pass does not have it.
using MakeStage = std::unique_ptr<PassStage>(const PassParts& parts);
MakeStage make_gather, make_up, make_activation, make_down, make_combine;

struct StageInfo {
  Stage stage;
  std::string_view name;    // in words
  std::string_view metric;  // its time in results
  MakeStage* make;
};

/// In the order of Stage, which is the order that they run in.
inline constexpr std::array<StageInfo, 5> kStages = {{
    {Stage::kGather, "gather", "gather_ms", make_gather},
    {Stage::kUp, "up-projection", "up_ms", make_up},
    {Stage::kActivation, "SwiGLU", "activation_ms", make_activation},
    {Stage::kDown, "down-projection", "down_ms", make_down},
    {Stage::kCombine, "combine", "combine_ms", make_combine},
}};

constexpr std::size_t index_of(Stage stage) { return static_cast<std::size_t>(stage); }
constexpr const StageInfo& info_of(Stage stage) { return kStages[index_of(stage)]; }

}  // namespace tatr
