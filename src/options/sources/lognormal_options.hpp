#pragma once

#include <string_view>

#include "options/fields.hpp"

namespace tatr {

/// Each expert gets sigma * N(0, 1), so popularity is about log-normal.
struct LognormalSource {
  double sigma = 0.5;

  static constexpr std::string_view kName = "lognormal";
  static constexpr std::string_view kHelp = "each expert has a fixed normal bias";
  static constexpr std::string_view kWords = "synthetic, log-normal popularity (sigma {sigma}, deviation {deviation})";
  static constexpr bool kSynthetic = true;

  template <class Fields>
  static void list(Fields& fields) {
    fields.add("sigma", &LognormalSource::sigma, Bounds{.least = 0, .most = 100}, "Each expert gets sigma * N(0, 1)");
  }
};

}  // namespace tatr
