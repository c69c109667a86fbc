// Turns targets into rows: which token and gate stands in each row of each expert.
#pragma once

#include <span>

#include "device/thrust_policy.cuh"
#include "rounding/added_gate.hpp"
#include "rounding/own_ranking.cuh"
#include "rounding/rounding.hpp"
#include "rounding/targets.cuh"

namespace tatr {

/// Where the rows of one expert come from.
struct RowSource {
  std::int32_t kept;  // own tokens before rounding
  std::int32_t need;  // next best that stand ready
  Fill fill;
  const std::uint64_t* own;    // ranking of the own tokens
  const std::uint64_t* fills;  // [need]
  GateOfAdded added;

  TATR_HD void write(std::int32_t rank, std::int32_t* token, float* gate) const {
    std::int32_t row_token = -1;
    float row_gate = 0.0f;
    if (rank < kept) {
      row_token = key_token(own[rank]);
      row_gate = key_score(own[rank]);
    } else if (fill == Fill::kNextBest && rank - kept < need) {
      row_token = key_token(fills[rank - kept]);
      row_gate = added(fills[rank - kept]);
    } else if (fill == Fill::kDuplicate) {
      row_token = key_token(own[(rank - kept) % kept]);
    }
    *token = row_token;
    *gate = row_gate;
  }
};

/// Writes the rows of one expert. On the CPU.
struct WriteExpert {
  Loads loads;
  Fill fill;
  const std::int32_t* offsets;  // [E+1] rows
  const std::uint64_t* own_keys;
  const std::int32_t* own_offsets;
  const std::uint64_t* fill_keys;  // [E, fill_stride]
  std::int32_t fill_stride;
  const std::int32_t* fill_need;
  GateOfAdded added;
  std::int32_t* token;
  float* gate;

  TATR_HD void operator()(std::int64_t expert) const {
    const RowSource source{loads(expert).kept,
                           fill_need[expert],
                           fill,
                           own_keys + own_offsets[expert],
                           fill_keys + expert * fill_stride,
                           added};
    for (std::int32_t row = offsets[expert]; row < offsets[expert + 1]; ++row) {
      source.write(row - offsets[expert], token + row, gate + row);
    }
  }
};

/// Whom the rows belong to, while their number is known to the device only.
struct RowOwners {
  const std::int32_t* rows;   // how many there are
  const std::int32_t* token;  // [R]
  TATR_HD std::int32_t operator()(std::int64_t row) const { return row < *rows ? token[row] : -1; }
};

struct CountRowOfToken {
  RowOwners owner;
  std::int32_t* counts;  // [T]
  TATR_HD void operator()(std::int64_t row) const {
    const std::int32_t token = owner(row);
    if (token >= 0) atomic_add(&counts[token], 1);
  }
};

struct ListRowOfToken {
  RowOwners owner;
  const std::int32_t* offsets;  // [T+1]
  std::int32_t* left;           // [T] rows of the token that are not yet listed
  std::int32_t* rows;
  TATR_HD void operator()(std::int64_t row) const {
    const std::int32_t token = owner(row);
    if (token >= 0) rows[offsets[token + 1] - atomic_add(&left[token], -1)] = static_cast<std::int32_t>(row);
  }
};

/// By insertion: a token has few rows, which stand nearly in order.
struct SortRowsOfToken {
  const std::int32_t* offsets;
  std::int32_t* rows;
  TATR_HD void operator()(std::int64_t token) const {
    for (std::int32_t i = offsets[token] + 1; i < offsets[token + 1]; ++i) {
      const std::int32_t row = rows[i];
      std::int32_t place = i;
      for (; place > offsets[token] && rows[place - 1] > row; --place) rows[place] = rows[place - 1];
      rows[place] = row;
    }
  }
};

/// `most_rows` bounds the rows, of which there are as many as owner.rows says. `left` [T] is scratch.
template <class Policy>
void list_rows_by_token(const Policy& policy, const RowOwners& owner, std::int64_t most_rows,
                        std::span<std::int32_t> left, TokenRows& result) {
  const auto tokens = static_cast<std::int64_t>(left.size());
  thrust::fill_n(policy, left.data(), tokens, 0);
  for_each_index(policy, most_rows, CountRowOfToken{owner, left.data()});
  offsets_from_counts(policy, left.data(), tokens, result.offsets.data());
  for_each_index(policy, most_rows, ListRowOfToken{owner, result.offsets.data(), left.data(), result.rows.data()});
  for_each_index(policy, tokens, SortRowsOfToken{result.offsets.data(), result.rows.data()});
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
