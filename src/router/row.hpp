// What routing reads off one token's row of logits: its maximum, the sum of its exponentials and its best experts.
// Loops that compilers turn into vector code; the same bits however wide the vectors are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/exact_math.hpp"
#include "core/integer_math.hpp"
#include "core/platform.hpp"
#include "router/routing.hpp"

namespace tatr {

/// Partial sums of a softmax denominator: element e belongs to partial e mod 128, and neighbouring partials are joined
/// in a fixed tree, so that threads, vector lanes and warps can share a row in any way and still agree in the last bit.
constexpr std::int32_t kPartials = 128;

/// Columns of a row that is looked at 32 values at a time, as vectors.
constexpr std::int32_t kColumns = 32;

/// The largest value of each column of the row's whole lines of 32: all of it but experts mod 32 values.
TATR_HD inline void column_maxima(const float* row, std::int32_t experts, float* best) {
  for (std::int32_t j = 0; j < kColumns; ++j) best[j] = row[j];
  for (std::int32_t first = kColumns; first + kColumns <= experts; first += kColumns) {
    for (std::int32_t j = 0; j < kColumns; ++j) best[j] = row[first + j] > best[j] ? row[first + j] : best[j];
  }
}

/// Never -0, which equals +0.
TATR_HD inline float row_maximum(const float* row, std::int32_t experts) {
  float best = row[0];
  std::int32_t first = 0;
  if (experts >= kColumns) {
    float columns[kColumns];
    column_maxima(row, experts, columns);
    for (std::int32_t j = 0; j < kColumns; ++j) best = columns[j] > best ? columns[j] : best;
    first = round_down(experts, kColumns);
  }
  for (std::int32_t e = first; e < experts; ++e) best = row[e] > best ? row[e] : best;
  return best + 0.0f;
}

TATR_HD inline float row_exp_sum(const float* row, std::int32_t experts, float maximum) {
  float partial[kPartials] = {};
  std::int32_t first = 0;
  for (; first + kPartials <= experts; first += kPartials) {
    for (std::int32_t j = 0; j < kPartials; ++j) partial[j] += softmax_term(row[first + j] - maximum);
  }
  for (std::int32_t e = first; e < experts; ++e) partial[e - first] += softmax_term(row[e] - maximum);
  float joined[kPartials / 2];  // neighbours, in turns with `partial`: vectors cannot shrink in place
  float *from = partial, *to = joined;
  for (std::int32_t left = kPartials / 2; left > 0; left /= 2) {
    for (std::ptrdiff_t j = 0; j < left; ++j) to[j] = from[2 * j] + from[2 * j + 1];
    float* const done = from;
    from = to;
    to = done;
  }
  return from[0];
}

/// Values in descending order with their experts; of equal values the one inserted first stays ahead. `capacity` is at
/// most kRoom, which is what a GPU's thread has in local memory.
template <std::int64_t kRoom>
struct BestFirst {
  std::int32_t capacity;
  std::int32_t size = 0;
  float value[kRoom];
  std::int32_t expert[kRoom];

  TATR_HD explicit BestFirst(std::int32_t top_k) : capacity(top_k) {}

  TATR_HD void insert(float candidate, std::int32_t candidate_expert) {
    if (size == capacity && !(candidate > value[size - 1])) return;
    std::int32_t i = size < capacity ? size++ : size - 1;
    for (; i > 0 && candidate > value[i - 1]; --i) {
      value[i] = value[i - 1];
      expert[i] = expert[i - 1];
    }
    value[i] = candidate;
    expert[i] = candidate_expert;
  }
};

/// A row's best experts.
using BestOfRow = BestFirst<kMaxTopK>;

/// The `rank`-th largest of the columns' maxima, rank from 1 to kColumns: the least that fewer than `rank` exceed.
TATR_HD inline float ranked_maximum(const float* columns, std::int32_t rank) {
  std::int32_t larger[kColumns] = {};
  for (std::int32_t i = 0; i < kColumns; ++i) {
    for (std::int32_t j = 0; j < kColumns; ++j) larger[j] += columns[i] > columns[j] ? 1 : 0;
  }
  float least = columns[0];
  for (std::int32_t j = 0; j < kColumns; ++j) least = columns[j] > least ? columns[j] : least;
  for (std::int32_t j = 0; j < kColumns; ++j) {
    least = larger[j] < rank && columns[j] < least ? columns[j] : least;
  }
  return least;
}

/// Few values on their way to a BestOfRow: ordered at once, by how many go before each.
struct Contenders {
  static constexpr std::int32_t kRoom = 32;
  std::int32_t size = 0;
  float value[kRoom + 8];
  std::int32_t expert[kRoom + 8];

  /// Adds those of the eight experts from `first` on that are marked by 1. Returns false where there is no room.
  TATR_HD bool add_eight(const float* row, std::int32_t first, const unsigned char* marks) {
    for (std::int32_t j = 0; j < 8; ++j) {  // no branch: what is not marked is written over
      value[size] = row[first + j];
      expert[size] = first + j;
      size += marks[j];
    }
    return size <= kRoom;
  }

  /// Into an empty `best`, which has not more room than there are contenders. They were added in expert order.
  TATR_HD void order(BestOfRow& best) {
    for (std::int32_t i = size; i < kRoom; ++i) value[i] = -__builtin_huge_valf();
    std::int32_t before[kRoom] = {};
    for (std::int32_t i = 0; i < size; ++i) {
      for (std::int32_t j = 0; j < kRoom; ++j) {
        before[j] += (value[i] > value[j] ? 1 : 0) + (value[i] == value[j] && i < j ? 1 : 0);
      }
    }
    for (std::int32_t i = 0; i < size; ++i) {
      if (before[i] >= best.capacity) continue;
      best.value[before[i]] = value[i];
      best.expert[before[i]] = expert[i];
    }
    best.size = best.capacity;
  }
};

/// The best of a row. The capacity-th best of the columns' maxima bounds the capacity-th best of all from below; few
/// values reach it, and whole vectors of those that do not are passed over.
TATR_HD inline void choose_of_row(const float* row, std::int32_t experts, BestOfRow& best) {
  std::int32_t first = 0;
  if (experts >= 2 * kColumns && best.capacity <= kColumns) {
    float columns[kColumns];
    column_maxima(row, experts, columns);
    const float bound = ranked_maximum(columns, best.capacity);
    Contenders contenders;
    bool room = true;
    for (; room && first < round_down(experts, kColumns); first += 8) {
      unsigned char reaches[8];
      for (std::int32_t j = 0; j < 8; ++j) reaches[j] = row[first + j] >= bound ? 1 : 0;
      std::uint64_t any;
      memcpy(&any, reaches, sizeof any);
      if (any != 0) room = contenders.add_eight(row, first, reaches);
    }
    if (room && contenders.size >= best.capacity) {
      contenders.order(best);
    } else {
      first = 0;  // many are equal, or, against the rules, NaN, which reaches no bound
    }
  }
  for (std::int32_t e = first; e < experts; ++e) best.insert(row[e], e);
}

/// What a softmax over a row needs: its maximum, and 1 / the sum of e^(logit - maximum).
struct SoftmaxTerms {
  float maximum = 0.0f, inverse = 0.0f;
};

/// A row of logits [experts], and what is asked of it.
struct RowRequest {
  const float* logits;
  std::int32_t experts;
  bool softmax;  // its terms
  bool choose;   // its best experts by logit
};

TATR_HD inline void read_row(const RowRequest& request, SoftmaxTerms& terms, BestOfRow& best) {
  const float* row = request.logits;
  const std::int32_t experts = request.experts;
  if (request.softmax) {
    terms.maximum = row_maximum(row, experts);
    terms.inverse = 1.0f / row_exp_sum(row, experts, terms.maximum);
  }
  if (request.choose) choose_of_row(row, experts, best);
}

/// The same, with the widest vectors that the CPU at hand has.
void read_row_on_cpu(const RowRequest& request, SoftmaxTerms& terms, BestOfRow& best);

}  // namespace tatr
