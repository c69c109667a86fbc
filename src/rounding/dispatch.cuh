// Turns targets into rows: which token and gate stands in each row of each expert.
#pragma once

#include <thrust/sort.h>

#include "core/thrust_policy.cuh"
#include "rounding/fill.cuh"
#include "rounding/ranking.cuh"
#include "rounding/rounding.hpp"
#include "rounding/targets.cuh"

namespace tatr {

/// The expert that owns a row: the last one whose offset is at most `row`.
TATR_HD inline std::int32_t expert_of_row(const std::int32_t* offsets, std::int32_t experts, std::int64_t row) {
  std::int32_t low = 0, high = experts;
  while (high - low > 1) {
    const std::int32_t middle = (low + high) / 2;
    (offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

struct WriteRow {
  Loads loads;
  Fill fill;
  std::int32_t experts;
  const std::int32_t* offsets;
  const std::uint64_t* own_keys;
  const std::int32_t* own_offsets;
  const std::uint64_t* fill_keys;
  const std::int32_t* fill_offsets;
  const std::int32_t* fill_need;
  std::int32_t* token;
  float* gate;

  TATR_HD void operator()(std::int64_t row) const {
    const std::int32_t expert = expert_of_row(offsets, experts, row);
    const std::int32_t kept = loads(expert).kept;
    const auto rank = static_cast<std::int32_t>(row - offsets[expert]);
    token[row] = -1;
    gate[row] = 0.0f;
    if (rank < kept) {
      const std::uint64_t key = own_keys[own_offsets[expert] + rank];
      token[row] = key_token(key);
      gate[row] = key_score(key);
    } else if (fill == Fill::kNextBest && rank - kept < fill_need[expert]) {
      const std::uint64_t key = fill_keys[fill_offsets[expert] + rank - kept];
      token[row] = key_token(key);
      gate[row] = key_score(key);
    } else if (fill == Fill::kDuplicate) {
      token[row] = key_token(own_keys[own_offsets[expert] + (rank - kept) % kept]);
    }
  }
};

struct MakeTokenRowKey {
  const std::int32_t* token;
  std::uint64_t* keys;  // padding rows sort last
  TATR_HD void operator()(std::int64_t row) const {
    keys[row] =
        static_cast<std::uint64_t>(static_cast<std::uint32_t>(token[row])) << 32 | static_cast<std::uint64_t>(row);
  }
};

struct FirstKeyOfToken {
  const std::uint64_t* keys;
  std::int64_t rows;
  std::int32_t* offsets;
  TATR_HD void operator()(std::int64_t token) const {
    std::int64_t low = 0, high = rows;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (keys[middle] >> 32 < static_cast<std::uint64_t>(token)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    offsets[token] = static_cast<std::int32_t>(low);
  }
};

struct RowOfKey {
  const std::uint64_t* keys;
  std::int32_t* rows;
  TATR_HD void operator()(std::int64_t i) const { rows[i] = static_cast<std::int32_t>(keys[i] & 0xFFFFFFFFu); }
};

template <class Policy>
TokenRows list_rows_by_token(const Policy& policy, System& system, const Dispatch& dispatch, std::int64_t tokens) {
  Buffer<std::uint64_t> keys(system, static_cast<std::size_t>(dispatch.rows));
  for_each_index(policy, dispatch.rows, MakeTokenRowKey{dispatch.token.data(), keys.data()});
  thrust::sort(policy, keys.data(), keys.data() + dispatch.rows);
  TokenRows result{Buffer<std::int32_t>(system, static_cast<std::size_t>(tokens) + 1),
                   Buffer<std::int32_t>(system, static_cast<std::size_t>(dispatch.rows))};
  for_each_index(policy, tokens + 1, FirstKeyOfToken{keys.data(), dispatch.rows, result.offsets.data()});
  for_each_index(policy, dispatch.rows, RowOfKey{keys.data(), result.rows.data()});
  return result;
}

/// Rescales a token's gates to the sum they had before rounding; sums in fp64, in slot and in row order.
struct RenormaliseToken {
  const float* own_gates;  // [T, K]
  std::int32_t top_k;
  const std::int32_t* offsets;
  const std::int32_t* rows;
  float* gate;
  TATR_HD void operator()(std::int64_t token) const {
    double before = 0.0, after = 0.0;
    for (std::int32_t i = 0; i < top_k; ++i) before += static_cast<double>(own_gates[token * top_k + i]);
    for (std::int32_t i = offsets[token]; i < offsets[token + 1]; ++i) after += static_cast<double>(gate[rows[i]]);
    if (!(after > 0.0)) return;
    for (std::int32_t i = offsets[token]; i < offsets[token + 1]; ++i) {
      gate[rows[i]] = static_cast<float>(static_cast<double>(gate[rows[i]]) * (before / after));
    }
  }
};

}  // namespace tatr
