// The stages of the expert layer, one row each: what a pass does one after the other, and what times are kept for.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace tatr {

enum class Stage { kGather, kUp, kActivation, kDown, kCombine };

struct StageInfo {
  Stage stage;
  std::string_view name;    // in words
  std::string_view metric;  // its time in results
};

inline constexpr std::array<StageInfo, 5> kStages = {{
    {Stage::kGather, "gather", "gather_ms"},
    {Stage::kUp, "up-projection", "up_ms"},
    {Stage::kActivation, "SwiGLU", "activation_ms"},
    {Stage::kDown, "down-projection", "down_ms"},
    {Stage::kCombine, "combine", "combine_ms"},
}};

constexpr std::size_t index_of(Stage stage) { return static_cast<std::size_t>(stage); }
constexpr const StageInfo& info_of(Stage stage) { return kStages[index_of(stage)]; }

}  // namespace tatr
