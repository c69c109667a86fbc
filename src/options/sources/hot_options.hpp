#pragma once

#include <cstdint>
#include <string_view>

#include "options/fields.hpp"

namespace tatr {

/// Experts 0 … experts-1 get `boost` more.
struct HotSource {
  std::int64_t experts = 8;
  double boost = 2.0;

  static constexpr std::string_view kName = "hot";
  static constexpr std::string_view kHelp = "a few experts get a boost";
  static constexpr std::string_view kWords =
      "synthetic, {experts} hot experts with {boost} more (deviation {deviation})";
  static constexpr bool kSynthetic = true;

  template <class Fields>
  static void list(Fields& fields) {
    fields.add("experts", &HotSource::experts, Bounds{.least = 0, .most = 8192},
               "Experts 0 to this number less one are hot");
    fields.add("boost", &HotSource::boost, Bounds{.least = -100, .most = 100}, "Added to the logits of hot experts");
  }
};

}  // namespace tatr
