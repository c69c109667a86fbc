// The gate of an added row: what a token weighs at an expert that it did not choose. Decides nothing of which tokens
// are added: their order is by p. The options and why there are two: docs/strategies.md.
#pragma once

#include <cstdint>

#include "core/platform.hpp"
#include "rounding/rank_key.hpp"

namespace tatr {

/// From a fill's key to its gate: p; or, with the scores of the chosen at hand, p over their sum, as own gates are. No
/// more than 1, the sum of a token's own gates: a selection bias or groups may have chosen scores that are next to
/// nothing.
struct GateOfAdded {
  const float* chosen_scores = nullptr;  // [T, K]; null: the gate is p
  std::int32_t top_k = 0;

  TATR_HD bool is_normalised() const { return chosen_scores != nullptr; }

  TATR_HD float operator()(std::uint64_t key) const { return is_normalised() ? normalised(key) : key_score(key); }

  /// Calls visit(gate) for `count` consecutive keys, in that order. Scores have a loop of their own, so that on a GPU
  /// loads of keys run ahead.
  template <class Visit>
  TATR_HD void each(const std::uint64_t* keys, std::int32_t count, Visit visit) const {
    if (is_normalised()) {
      for (std::int32_t i = 0; i < count; ++i) visit(normalised(keys[i]));
    } else {
      TATR_UNROLL_ON_GPU
      for (std::int32_t i = 0; i < count; ++i) visit(key_score(keys[i]));
    }
  }

  /// Sum of the gates of `count` consecutive keys, in that order, in fp64.
  TATR_HD double sum(const std::uint64_t* keys, std::int32_t count) const {
    double total = 0.0;
    each(keys, count, [&](float gate) { total += static_cast<double>(gate); });
    return total;
  }

 private:
  TATR_HD float normalised(std::uint64_t key) const {
    const float* const own = chosen_scores + static_cast<std::int64_t>(key_token(key)) * top_k;
    double sum = 0.0;  // as own gates are computed: in fp64, in slot order
    for (std::int32_t i = 0; i < top_k; ++i) sum += static_cast<double>(own[i]);
    if (!(sum > 0.0)) return 0.0f;
    const auto p = static_cast<double>(key_score(key));
    return p < sum ? static_cast<float>(p / sum) : 1.0f;
  }
};

}  // namespace tatr
