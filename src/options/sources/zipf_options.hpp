#pragma once

#include <string_view>

#include "options/fields.hpp"

namespace tatr {

/// Expert e (from 0) gets -exponent * ln(e + 1).
struct ZipfSource {
  double exponent = 1.0;

  static constexpr std::string_view kName = "zipf";
  static constexpr std::string_view kHelp = "popularity falls with the expert's index to a power";
  static constexpr std::string_view kWords = "synthetic, Zipf popularity (exponent {exponent}, deviation {deviation})";
  static constexpr bool kSynthetic = true;

  template <class Fields>
  static void list(Fields& fields) {
    fields.add("exponent", &ZipfSource::exponent, Bounds{.least = 0, .most = 100},
               "Expert e, from 0, gets -exponent * ln(e + 1)");
  }
};

}  // namespace tatr
