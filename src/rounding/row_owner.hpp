// Whose a place is in a list that is sorted by expert.
#pragma once

#include <cstdint>

#include "core/platform.hpp"

namespace tatr {

/// The last expert that begins at the place or before it: of a place that is taken, the one that has it. `offsets`
/// [E+1] are where experts begin.
TATR_HD inline std::int32_t owner_of(const std::int32_t* offsets, std::int32_t experts, std::int64_t place) {
  std::int32_t first = 0, last = experts;
  while (last - first > 1) {
    const std::int32_t middle = first + (last - first) / 2;
    (offsets[middle] <= place ? first : last) = middle;
  }
  return first;
}

}  // namespace tatr
