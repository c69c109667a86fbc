// Top-k routing, one token at a time: the same text for CPU threads and GPU threads.
#include <thrust/fill.h>

#include <stdexcept>

#include "core/integer_math.hpp"
#include "core/thrust_policy.cuh"

#if defined(__CUDACC__)
#include "core/cuda_check.hpp"
#include "router/kernels/top_k.cuh"
#endif
#include "router/routing.hpp"

namespace tatr {

namespace {

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
  return best;
}

TATR_HD inline float row_exp_sum(const float* row, std::int32_t experts, float maximum) {
  float partial[kPartials] = {};
  std::int32_t first = 0;
  for (; first + kPartials <= experts; first += kPartials) {
    for (std::int32_t j = 0; j < kPartials; ++j) partial[j] += exact_exp(row[first + j] - maximum);
  }
  for (std::int32_t e = first; e < experts; ++e) partial[e - first] += exact_exp(row[e] - maximum);
  for (std::int32_t stride = 1; stride < kPartials; stride *= 2) {
    for (std::int32_t j = 0; j < kPartials; j += 2 * stride) partial[j] += partial[j + stride];
  }
  return partial[0];
}

/// Values in descending order with their experts; of equal values the one inserted first stays ahead.
struct BestFirst {
  std::int32_t capacity;
  std::int32_t size = 0;
  float value[kMaxTopK];
  std::int32_t expert[kMaxTopK];

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

/// The best of a row. The capacity-th best of the columns' maxima bounds the capacity-th best of all from below; few
/// values reach it, and whole vectors of those that do not are passed over.
TATR_HD inline void choose_of_row(const float* row, std::int32_t experts, BestFirst& best) {
  std::int32_t first = 0;
  if (experts >= 2 * kColumns && best.capacity <= kColumns) {
    float columns[kColumns];
    column_maxima(row, experts, columns);
    BestFirst maxima(best.capacity);
    for (std::int32_t j = 0; j < kColumns; ++j) maxima.insert(columns[j], j);
    const float bound = maxima.value[maxima.size - 1];
    for (; first + kColumns <= experts; first += kColumns) {
      unsigned char reaches[kColumns];
      for (std::int32_t j = 0; j < kColumns; ++j) reaches[j] = row[first + j] >= bound;
      std::uint64_t any[kColumns / 8];
      memcpy(any, reaches, sizeof any);
      for (std::int32_t part = 0; part < kColumns / 8; ++part) {
        if (any[part] == 0) continue;
        for (std::int32_t j = 8 * part; j < 8 * part + 8; ++j) {
          if (reaches[j] != 0) best.insert(row[first + j], first + j);
        }
      }
    }
  }
  for (std::int32_t e = first; e < experts; ++e) best.insert(row[e], e);
}

/// Where one token's choice goes, and what every way of choosing does with it.
struct ChoiceWriter {
  std::int32_t top_k, member_words;
  bool normalise;
  std::int32_t* chosen;
  float* gates;
  float* scores;
  std::uint32_t* members;
  std::int32_t* counts;

  /// `score` gives p of the i-th best.
  template <class Score>
  TATR_HD void operator()(std::int64_t token, const BestFirst& best, Score score) const {
    double sum = 0.0;
    for (std::int32_t word = 0; word < member_words; ++word) members[token * member_words + word] = 0;
    for (std::int32_t i = 0; i < top_k; ++i) {
      const float p = score(i);
      chosen[token * top_k + i] = best.expert[i];
      scores[token * top_k + i] = p;
      sum += static_cast<double>(p);
      members[token * member_words + best.expert[i] / 32] |= 1u << (best.expert[i] % 32);
      atomic_add(&counts[best.expert[i]], 1);
    }
    for (std::int32_t i = 0; i < top_k; ++i) {
      const float p = scores[token * top_k + i];
      // All scores can underflow to zero (a sigmoid of very negative logits): then no expert gets weight.
      gates[token * top_k + i] = !normalise ? p : (sum > 0.0 ? static_cast<float>(static_cast<double>(p) / sum) : 0.0f);
    }
  }
};

/// Chooses by logit; by p + selection_bias where a bias is given (DeepSeek-V3, arXiv 2412.19437, equation 16); within
/// the best groups where groups are given, a group's value being the sum of its two best.
struct RouteToken {
  const float* logits;
  std::int32_t experts, group_count, group_top;
  Scoring scoring;
  const float* bias;  // [E] or null
  float* row_max;
  float* row_inverse;
  ScoreView view;
  ChoiceWriter write;

  TATR_HD float value(std::int64_t token, std::int32_t expert) const {
    return bias != nullptr ? view(token, expert) + bias[expert] : logits[token * experts + expert];
  }

  TATR_HD void operator()(std::int64_t token) const {
    const float* row = logits + token * experts;
    if (scoring == Scoring::kSoftmax) {
      row_max[token] = row_maximum(row, experts);
      row_inverse[token] = 1.0f / row_exp_sum(row, experts, row_max[token]);
    }
    BestFirst best(write.top_k);
    if (group_count > 1) {
      choose_within_groups(token, best);
    } else if (bias != nullptr) {
      for (std::int32_t e = 0; e < experts; ++e) best.insert(value(token, e), e);
    } else {
      choose_of_row(row, experts, best);
    }
    write(token, best, [&](std::int32_t i) { return view(token, best.expert[i]); });
  }

  TATR_HD void choose_within_groups(std::int64_t token, BestFirst& best) const {
    const std::int32_t size = experts / group_count;
    BestFirst groups(group_top);
    for (std::int32_t g = 0; g < group_count; ++g) {
      BestFirst two(size > 1 ? 2 : 1);
      for (std::int32_t e = g * size; e < (g + 1) * size; ++e) two.insert(value(token, e), e);
      groups.insert(size > 1 ? two.value[0] + two.value[1] : two.value[0], g);
    }
    std::uint64_t allowed = 0;  // kMaxGroups bits
    for (std::int32_t i = 0; i < group_top; ++i) allowed |= std::uint64_t{1} << groups.expert[i];
    for (std::int32_t e = 0; e < experts; ++e) {
      if ((allowed >> (e / size) & 1) != 0) best.insert(value(token, e), e);
    }
  }
};

/// Orders a token's known top-k: high to low score, ties to the lower expert.
struct TakeKnownTopK {
  const std::int32_t* given;  // [T, K]
  const float* given_scores;
  ChoiceWriter write;

  TATR_HD void operator()(std::int64_t token) const {
    BestFirst best(write.top_k);
    std::int32_t previous = -1;
    for (std::int32_t i = 0; i < write.top_k; ++i) {  // in expert order, so that ties fall to the lower one
      std::int32_t next = -1;
      for (std::int32_t j = 0; j < write.top_k; ++j) {
        const std::int32_t e = given[token * write.top_k + j];
        if (e > previous && (next < 0 || e < given[token * write.top_k + next])) next = j;
      }
      previous = given[token * write.top_k + next];
      best.insert(given_scores[token * write.top_k + next], previous);
    }
    write(token, best, [&](std::int32_t i) { return best.value[i]; });
  }
};

/// A routing with its buffers allocated.
Routing empty_routing(System& system, const RouterConfig& config) {
  Routing routing;
  routing.tokens = static_cast<std::int32_t>(config.tokens);
  routing.experts = static_cast<std::int32_t>(config.experts);
  routing.top_k = static_cast<std::int32_t>(config.top_k);
  routing.scoring = config.scoring;
  const auto assignments = static_cast<std::size_t>(config.tokens * config.top_k);
  routing.chosen = Buffer<std::int32_t>(system, assignments);
  routing.gates = Buffer<float>(system, assignments);
  routing.scores = Buffer<float>(system, assignments);
  routing.members = Buffer<std::uint32_t>(
      system, static_cast<std::size_t>(config.tokens * ceil_div<std::int64_t>(config.experts, 32)));
  routing.counts = Buffer<std::int32_t>(system, static_cast<std::size_t>(config.experts));
  return routing;
}

ChoiceWriter writer_of(Routing& routing, bool normalise) {
  return {routing.top_k,          ceil_div(routing.experts, 32), normalise,
          routing.chosen.data(),  routing.gates.data(),          routing.scores.data(),
          routing.members.data(), routing.counts.data()};
}

#if defined(__CUDACC__)
void route_with_kernel(System& system, Routing& routing, const RouterConfig& config) {
  launch_top_k(
      {routing.logits.data(), routing.tokens, routing.experts, routing.top_k, ceil_div(routing.experts, 32),
       config.scoring, config.normalise_gates, routing.chosen.data(), routing.gates.data(), routing.scores.data(),
       routing.members.data(), routing.counts.data(), routing.row_max.data(), routing.row_inverse.data()},
      system.index(), system.stream());
  TATR_CUDA_CHECK(cudaGetLastError());
}
#endif

Buffer<float> expanded_bias(System& system, const RouterConfig& config) {
  if (config.selection_bias.empty()) return {};
  std::vector<float> bias(static_cast<std::size_t>(config.experts));
  for (std::size_t e = 0; e < bias.size(); ++e) {
    bias[e] = static_cast<float>(config.selection_bias[config.selection_bias.size() == 1 ? 0 : e]);
  }
  return Buffer<float>(system, bias);
}

}  // namespace

Routing route(System& system, Buffer<float> logits, const RouterConfig& config) {
  if (config.top_k > config.experts || config.top_k > kMaxTopK) throw std::logic_error("route: top_k out of range");
  Routing routing = empty_routing(system, config);
  routing.logits = std::move(logits);
  routing.row_max = Buffer<float>(system, static_cast<std::size_t>(config.tokens));
  routing.row_inverse = Buffer<float>(system, static_cast<std::size_t>(config.tokens));
  routing.selection_bias = expanded_bias(system, config);
  route_again(system, routing, config);
  return routing;
}

void route_again(System& system, Routing& routing, const RouterConfig& config) {
  const ExpertGroups groups = config.groups.value_or(ExpertGroups{});
  with_policy(system, [&](auto policy) {
    thrust::fill_n(policy, routing.counts.data(), routing.counts.size(), 0);
#if defined(__CUDACC__)
    if (system.is_cuda() && top_k_kernel_takes(config)) {
      route_with_kernel(system, routing, config);
      return;
    }
#endif
    for_each_index(policy, config.tokens,
                   RouteToken{routing.logits.data(), routing.experts, static_cast<std::int32_t>(groups.count),
                              static_cast<std::int32_t>(groups.top), config.scoring, routing.selection_bias.data(),
                              routing.row_max.data(), routing.row_inverse.data(), routing.score_view(),
                              writer_of(routing, config.normalise_gates)});
  });
}

Routing routing_from_top_k(System& system, Buffer<std::int32_t> chosen, Buffer<float> scores,
                           const RouterConfig& config) {
  Routing routing = empty_routing(system, config);
  const TakeKnownTopK take{chosen.data(), scores.data(), writer_of(routing, config.normalise_gates)};
  with_policy(system, [&](auto policy) {
    thrust::fill_n(policy, routing.counts.data(), routing.counts.size(), 0);
    for_each_index(policy, config.tokens, take);
  });
  return routing;
}

}  // namespace tatr
