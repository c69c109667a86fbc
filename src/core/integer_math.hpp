// Integer helpers for tiles. All arguments are non-negative; tiles are positive.
#pragma once

#include <cstdint>

#include "core/platform.hpp"

namespace tatr {

template <class T>
TATR_HD constexpr T ceil_div(T value, T divisor) {
  return (value + divisor - 1) / divisor;
}

template <class T>
TATR_HD constexpr T round_up(T value, T multiple) {
  return ceil_div(value, multiple) * multiple;
}

template <class T>
TATR_HD constexpr T round_down(T value, T multiple) {
  return value / multiple * multiple;
}

}  // namespace tatr
