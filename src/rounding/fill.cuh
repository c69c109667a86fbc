// Finds each expert's best non-members: only of experts that need some, only about as many as they need. A radix
// selection on the ranking key, ten bits at a time, so that no T x E array is ever sorted, and ties of any number end
// exactly.
#pragma once

#include <thrust/fill.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>
#include <thrust/sort.h>

#include "core/integer_math.hpp"
#include "core/thrust_policy.cuh"
#include "rounding/rank_key.hpp"
#include "rounding/ranking.cuh"
#include "router/routing.hpp"

namespace tatr {

/// Non-members in ranking order. An expert's first min(need, T - count) entries are its best; there may be more.
struct FillCandidates {
  Buffer<std::uint64_t> keys;
  Buffer<std::int32_t> offsets;  // [E+1]
};

inline constexpr int kDigitBits = 10;
inline constexpr int kBins = 1 << kDigitBits;
static_assert(kPlaceBits % kDigitBits == 0);

/// State of the selection: for expert e, `prefix[e]` holds the high digits of the key of the last one needed.
struct SelectionView {
  ScoreView scores;
  const std::uint32_t* members;
  std::int32_t member_words, experts;
  const std::int32_t* need;  // [E]; 0: the expert wants none
  std::uint64_t* prefix;     // [E]
  std::int32_t* remaining;   // [E] still needed among those that share the prefix
  std::int32_t* within;      // [E] candidates so far
  std::int32_t* histogram;   // [E, kBins]

  /// Calls use(expert, place) for each pair that may fill in run `index` of kRun neighbouring experts of one token.
  template <int kRun, class Use>
  TATR_HD void visit(std::int64_t index, Use use) const {
    const std::int32_t runs = ceil_div(experts, kRun);
    const std::int64_t token = index / runs;
    const std::int32_t first = static_cast<std::int32_t>(index % runs) * kRun;
    const std::int32_t count = experts - first < kRun ? experts - first : kRun;
    if (kRun == 1 && need[first] == 0) return;
    float score[kRun];
    scores.of_experts(token, first, count, score);
    for (std::int32_t i = 0; i < count; ++i) {
      const std::int32_t expert = first + i;
      if (need[expert] == 0) continue;
      if ((members[token * member_words + expert / 32] >> (expert % 32) & 1) != 0) continue;
      use(expert, rank_place(score[i], token));
    }
  }
};

template <int kRun>
struct CountDigit {
  SelectionView view;
  int shift;
  TATR_HD void operator()(std::int64_t index) const {
    view.visit<kRun>(index, [&](std::int32_t expert, std::uint64_t place) {
      const std::uint64_t digits = place >> shift;
      if (digits >> kDigitBits != view.prefix[expert]) return;
      atomic_add(&view.histogram[static_cast<std::int64_t>(expert) * kBins + static_cast<std::int64_t>(digits % kBins)],
                 1);
    });
  }
};

struct PickDigit {
  SelectionView view;
  TATR_HD void operator()(std::int64_t expert) const {
    if (view.need[expert] == 0) return;
    const std::int32_t* bins = view.histogram + expert * kBins;
    std::int32_t before = 0, digit = 0;
    while (before + bins[digit] < view.remaining[expert]) before += bins[digit++];
    view.prefix[expert] = view.prefix[expert] << kDigitBits | static_cast<std::uint64_t>(digit);
    view.remaining[expert] -= before;
    view.within[expert] = view.need[expert] - view.remaining[expert] + bins[digit];
  }
};

template <int kRun>
struct CollectCandidate {
  SelectionView view;
  int shift;
  std::int32_t* next;  // [E] next free entry
  std::uint64_t* keys;
  TATR_HD void operator()(std::int64_t index) const {
    view.visit<kRun>(index, [&](std::int32_t expert, std::uint64_t place) {
      if (place >> shift <= view.prefix[expert]) keys[atomic_add(&next[expert], 1)] = rank_key(expert, place);
    });
  }
};

/// `need` [E] is at most T - count of each expert.
template <class Policy>
FillCandidates select_fill(const Policy& policy, System& system, const Routing& routing, const std::int32_t* need) {
  const auto experts = static_cast<std::size_t>(routing.experts);
  constexpr int kRun = kRunsOnGpu<Policy> ? 1 : 128;
  const std::int64_t runs = static_cast<std::int64_t>(routing.tokens) * ceil_div(routing.experts, kRun);
  Buffer<std::uint64_t> prefix(system, experts);
  Buffer<std::int32_t> remaining(system, experts), within(system, experts), histogram(system, experts * kBins);
  thrust::fill_n(policy, prefix.data(), experts, std::uint64_t{0});
  thrust::fill_n(policy, within.data(), experts, 0);
  thrust::copy_n(policy, need, experts, remaining.data());
  const SelectionView view{routing.score_view(),
                           routing.members.data(),
                           ceil_div(routing.experts, 32),
                           routing.experts,
                           need,
                           prefix.data(),
                           remaining.data(),
                           within.data(),
                           histogram.data()};
  const std::int64_t wanted = thrust::reduce(policy, need, need + experts, std::int64_t{0});
  if (wanted == 0) {
    FillCandidates none{{}, Buffer<std::int32_t>(system, experts + 1)};
    thrust::fill_n(policy, none.offsets.data(), experts + 1, 0);
    return none;
  }
  int shift = kPlaceBits;
  std::int64_t found = 0;
  // The first digits usually leave few candidates beyond the wanted ones; more digits only where scores crowd together.
  do {
    shift -= kDigitBits;
    thrust::fill_n(policy, histogram.data(), histogram.size(), 0);
    for_each_index(policy, runs, CountDigit<kRun>{view, shift});
    for_each_index(policy, routing.experts, PickDigit{view});
    found = thrust::reduce(policy, within.data(), within.data() + experts, std::int64_t{0});
  } while (shift > 0 && found > 2 * wanted + (1 << 16));

  FillCandidates fill{Buffer<std::uint64_t>(system, static_cast<std::size_t>(found)),
                      Buffer<std::int32_t>(system, experts + 1)};
  offsets_from_counts(policy, within.data(), routing.experts, fill.offsets.data());
  thrust::copy_n(policy, fill.offsets.data(), experts, remaining.data());
  for_each_index(policy, runs, CollectCandidate<kRun>{view, shift, remaining.data(), fill.keys.data()});
  thrust::sort(policy, fill.keys.data(), fill.keys.data() + found);
  return fill;
}

}  // namespace tatr
