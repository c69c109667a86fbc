// Top-k routing, one token at a time: the same text for CPU threads and GPU threads.
#include <thrust/fill.h>

#include <stdexcept>

#include "core/half.hpp"
#include "core/integer_math.hpp"
#include "device/thrust_policy.cuh"

#if defined(__CUDACC__)
#include "router/kernels/top_k.cuh"
#endif
#include "router/routing.hpp"
#include "router/row.hpp"

namespace tatr {

namespace {

/// To bf16, or, where that is null, to what bf16 holds. The largest finite value stands for what is past it.
struct RoundLogit {
  float* logits;
  std::uint16_t* bf16;

  TATR_HD void operator()(std::int64_t i) const {
    constexpr float kMost = 3.38953139e38f;
    const float value = logits[i] > kMost ? kMost : (logits[i] < -kMost ? -kMost : logits[i]);
    const std::uint16_t rounded = bfloat16_from_float(value);
    if (bf16 != nullptr) {
      bf16[i] = rounded;
    } else {
      logits[i] = float_from_bfloat16(rounded);
    }
  }
};

/// Where one token's choice goes, and what every way of choosing does with it.
struct ChoiceWriter {
  std::int32_t top_k, member_words;
  bool normalise;
  std::int32_t* chosen;
  float* gates;
  float* scores;
  std::uint32_t* members;

  /// `score` gives p of the i-th best.
  template <class Score>
  TATR_HD void operator()(std::int64_t token, const BestOfRow& best, Score score) const {
    double sum = 0.0;
    for (std::int32_t word = 0; word < member_words; ++word) members[token * member_words + word] = 0;
    for (std::int32_t i = 0; i < top_k; ++i) {
      const float p = score(i);
      chosen[token * top_k + i] = best.expert[i];
      scores[token * top_k + i] = p;
      sum += static_cast<double>(p);
      members[token * member_words + best.expert[i] / 32] |= 1u << (best.expert[i] % 32);
    }
    for (std::int32_t i = 0; i < top_k; ++i) {
      const float p = scores[token * top_k + i];
      // All scores can underflow to zero (a sigmoid of very negative logits): then no expert gets weight.
      gates[token * top_k + i] = !normalise ? p : (sum > 0.0 ? static_cast<float>(static_cast<double>(p) / sum) : 0.0f);
    }
  }
};

/// Chooses by logit; by p + selection_bias where a bias (DeepSeek-V3, arXiv 2412.19437, equation 16) or groups are
/// given, so that no bias is the same as one of zeros; of groups only within the best, by the sum of a group's two best
/// values, or by its best (DeepSeek-V2, arXiv 2405.04434, section 2.2.2).
struct RouteToken {
  const float* logits;
  std::int32_t experts, group_count, group_top, group_best;  // group_best: how many of its best a group is valued by
  Scoring scoring;
  const float* bias;  // [E] or null
  float* row_max;
  float* row_inverse;
  ScoreView view;
  ChoiceWriter write;

  static constexpr std::int64_t kMostOfGroup = 2;  // group_best at most

  TATR_HD float value(std::int64_t token, std::int32_t expert) const {
    return view(token, expert) + (bias != nullptr ? bias[expert] : 0.0f);
  }

  TATR_HD void operator()(std::int64_t token) const {
    const float* row = logits + token * experts;
    const bool by_logit = group_count <= 1 && bias == nullptr;
    BestOfRow best(write.top_k);
    SoftmaxTerms terms;
    const RowRequest request{row, experts, scoring == Scoring::kSoftmax, by_logit};
#if defined(__CUDA_ARCH__)
    read_row(request, terms, best);
#else
    read_row_on_cpu(request, terms, best);
#endif
    if (scoring == Scoring::kSoftmax) {
      row_max[token] = terms.maximum;
      row_inverse[token] = terms.inverse;
    }
    if (group_count > 1) {
      choose_within_groups(token, best);
    } else if (bias != nullptr) {
      for (std::int32_t e = 0; e < experts; ++e) best.insert(value(token, e), e);
    }
    write(token, best, [&](std::int32_t i) { return view(token, best.expert[i]); });
  }

  TATR_HD void choose_within_groups(std::int64_t token, BestOfRow& best) const {
    const std::int32_t size = experts / group_count;
    BestFirst<kMaxGroups> groups(group_top);
    for (std::int32_t g = 0; g < group_count; ++g) {
      BestFirst<kMostOfGroup> own(group_best);
      for (std::int32_t e = g * size; e < (g + 1) * size; ++e) own.insert(value(token, e), e);
      groups.insert(own.size > 1 ? own.value[0] + own.value[1] : own.value[0], g);
    }
    std::uint64_t allowed = 0;  // kMaxGroups bits
    for (std::int32_t i = 0; i < group_top; ++i) allowed |= std::uint64_t{1} << groups.expert[i];
    for (std::int32_t e = 0; e < experts; ++e) {
      if ((allowed >> (e / size) & 1) != 0) best.insert(value(token, e), e);
    }
  }
};

/// Orders a token's known top-k: high to low score, ties to the lower expert. A score of -0 is one of 0.
struct TakeKnownTopK {
  const std::int32_t* given;  // [T, K]
  const float* given_scores;  // null: they are not known
  ChoiceWriter write;

  TATR_HD void operator()(std::int64_t token) const {
    BestOfRow best(write.top_k);
    std::int32_t previous = -1;
    for (std::int32_t i = 0; i < write.top_k; ++i) {  // in expert order, so that ties fall to the lower one
      std::int32_t next = -1;
      for (std::int32_t j = 0; j < write.top_k; ++j) {
        const std::int32_t e = given[token * write.top_k + j];
        if (e > previous && (next < 0 || e < given[token * write.top_k + next])) next = j;
      }
      previous = given[token * write.top_k + next];
      const float score =
          given_scores != nullptr ? given_scores[token * write.top_k + next] : 1.0f / static_cast<float>(write.top_k);
      best.insert(as_share(score), previous);
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
  return {routing.top_k,         ceil_div(routing.experts, 32), normalise, routing.chosen.data(), routing.gates.data(),
          routing.scores.data(), routing.members.data()};
}

/// Chooses for some tokens, and counts.
template <class ChooseForToken>
struct RouteChunk {
  ChooseForToken choose;
  std::int64_t tokens, chunk_tokens;
  std::int32_t experts, top_k;
  const std::int32_t* chosen;
  std::int32_t* counts;  // zero before

  TATR_HD void operator()(std::int64_t chunk) const {
    const std::int64_t first = chunk * chunk_tokens;
    const std::int64_t last = first + chunk_tokens < tokens ? first + chunk_tokens : tokens;
#if defined(__CUDA_ARCH__)
    for (std::int64_t token = first; token < last; ++token) {
      choose(token);
      for (std::int64_t i = token * top_k; i < (token + 1) * top_k; ++i) atomic_add(&counts[chosen[i]], 1);
    }
#else
    std::int32_t own[kMaxExperts];  // atomic additions one by one would take a tenth of the time
    for (std::int32_t e = 0; e < experts; ++e) own[e] = 0;
    for (std::int64_t token = first; token < last; ++token) {
      choose(token);
      for (std::int64_t i = token * top_k; i < (token + 1) * top_k; ++i) ++own[chosen[i]];
    }
    for (std::int32_t e = 0; e < experts; ++e) atomic_add(&counts[e], own[e]);
#endif
  }
};

/// Chooses for all tokens and sets the counts: on a GPU a thread a token, on a CPU in long runs.
template <class Policy, class ChooseForToken>
void route_all(const Policy& policy, const System& system, Routing& routing, const ChooseForToken& choose) {
  const std::int64_t tokens = routing.tokens;
  const std::int64_t chunk =
      kRunsOnGpu<Policy> ? 1 : ceil_div<std::int64_t>(tokens, 4 * std::int64_t{system.threads()});
  thrust::fill_n(policy, routing.counts.data(), routing.counts.size(), 0);
  for_each_index(policy, ceil_div(tokens, chunk),
                 RouteChunk<ChooseForToken>{choose, tokens, chunk, routing.experts, routing.top_k,
                                            routing.chosen.data(), routing.counts.data()});
}

#if defined(__CUDACC__)
void route_with_kernel(System& system, Routing& routing, const RouterConfig& config) {
  launch_top_k({routing.logit_view(), routing.tokens, routing.experts, routing.top_k, ceil_div(routing.experts, 32),
                config.scoring, config.normalise_gates, routing.chosen.data(), routing.gates.data(),
                routing.scores.data(), routing.members.data(), routing.counts.data(), routing.tallies.data(),
                routing.row_max.data(), routing.row_inverse.data()},
               system.index(), system.stream());
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

/// What routing logits writes and reads beside the choice.
void add_room_for_scores(System& system, Routing& routing, const RouterConfig& config) {
  routing.row_max = Buffer<float>(system, static_cast<std::size_t>(config.tokens));
  routing.row_inverse = Buffer<float>(system, static_cast<std::size_t>(config.tokens));
  routing.selection_bias = expanded_bias(system, config);
  routing.tallies = Buffer<std::uint64_t>(system, std::vector<std::uint64_t>(static_cast<std::size_t>(config.experts)));
}

void round_logits(System& system, Routing& routing, const RouterConfig& config) {
  const auto count = routing.logits.size();
  if (keeps_bf16(system, config)) routing.bf16 = Buffer<std::uint16_t>(system, count);
  const RoundLogit round{routing.logits.data(), routing.bf16.data()};
  with_policy(system, [&](auto policy) { for_each_index(policy, static_cast<std::int64_t>(count), round); });
  if (routing.bf16.size() > 0) routing.logits = {};
}

}  // namespace

bool keeps_bf16([[maybe_unused]] const System& system, [[maybe_unused]] const RouterConfig& config) {
#if defined(__CUDACC__)
  return system.is_cuda() && config.logits == LogitType::kBf16 && top_k_kernel_takes(config);
#else
  return false;
#endif
}

Routing prepare_routing(System& system, const RouterConfig& config, Known known) {
  Routing routing = empty_routing(system, config);
  routing.known = known;
  if (known != Known::kScores) return routing;
  add_room_for_scores(system, routing, config);
  const auto count = static_cast<std::size_t>(config.tokens * config.experts);
  if (keeps_bf16(system, config)) {
    routing.bf16 = Buffer<std::uint16_t>(system, count);
  } else {
    routing.logits = Buffer<float>(system, count);
  }
  return routing;
}

Routing route(System& system, Buffer<float> logits, const RouterConfig& config) {
  if (config.top_k > config.experts || config.top_k > kMaxTopK) throw std::logic_error("route: top_k out of range");
  Routing routing = empty_routing(system, config);
  routing.logits = std::move(logits);
  if (config.logits == LogitType::kBf16) round_logits(system, routing, config);
  add_room_for_scores(system, routing, config);
  route_again(system, routing, config);
  return routing;
}

void route_again(System& system, Routing& routing, const RouterConfig& config) {
  const ExpertGroups groups = config.groups.value_or(ExpertGroups{});
  with_policy(system, [&](auto policy) {
#if defined(__CUDACC__)
    if (system.is_cuda() && top_k_kernel_takes(config)) {
      route_with_kernel(system, routing, config);
      return;
    }
#endif
    route_all(policy, system, routing,
              RouteToken{routing.logits.data(), routing.experts, static_cast<std::int32_t>(groups.count),
                         static_cast<std::int32_t>(groups.top), groups.score == GroupScore::kMax ? 1 : 2,
                         config.scoring, routing.selection_bias.data(), routing.row_max.data(),
                         routing.row_inverse.data(), routing.score_view(), writer_of(routing, config.normalise_gates)});
  });
}

Routing routing_from_top_k(System& system, Buffer<std::int32_t> chosen, Buffer<float> scores,
                           const RouterConfig& config) {
  Routing routing = prepare_routing(system, config, scores.size() > 0 ? Known::kGates : Known::kChoices);
  route_top_k_again(system, routing, chosen.data(), scores.data(), config);
  return routing;
}

void route_top_k_again(System& system, Routing& routing, const std::int32_t* chosen, const float* scores,
                       const RouterConfig& config) {
  const TakeKnownTopK take{chosen, scores, writer_of(routing, config.normalise_gates)};
  with_policy(system, [&](auto policy) { route_all(policy, system, routing, take); });
}

}  // namespace tatr
