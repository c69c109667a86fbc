#pragma once

#include <string_view>

namespace tatr {

/// Independent normal logits: nearly uniform load.
struct GaussianSource {
  static constexpr std::string_view kName = "gaussian";
  static constexpr std::string_view kHelp = "independent normal logits: near-uniform load";
  static constexpr std::string_view kWords = "synthetic, Gaussian (deviation {deviation})";
  static constexpr bool kSynthetic = true;

  template <class Fields>
  static void list(Fields&) {}
};

}  // namespace tatr
