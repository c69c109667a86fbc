// From router logits to top-k routing. Decides which experts each token goes to and with what gate; knows nothing of
// tiles. The rules (selection, ties, gates) are those of docs/figures.md, "Routing".
#pragma once

#include <cstdint>

#include "core/exact_math.hpp"
#include "core/platform.hpp"
#include "device/system.hpp"
#include "options/options.hpp"
#include "router/known.hpp"

namespace tatr {

/// Limits that, with kMaxTokens, keep every sort key within 64 bits: expert 13, score 30, token 20.
inline constexpr std::int64_t kMaxExperts = 8192;
inline constexpr std::int64_t kMaxTopK = 128;
inline constexpr std::int64_t kMaxGroups = 64;
inline constexpr std::int32_t kMaxCount = 1 << 30;  // tokens of one expert, where only counts are known

/// Router logits where they are: as fp32, or, on a GPU alone, as the bits of bf16.
struct LogitView {
  const float* fp32 = nullptr;
  const std::uint16_t* bf16 = nullptr;  // where there, in place of fp32

  TATR_HD float operator[](std::int64_t i) const {
#if defined(__CUDA_ARCH__)
    if (bf16 != nullptr) return float_from_bits(std::uint32_t{bf16[i]} << 16);
#endif
    return fp32[i];
  }
};

/// The score p of any (token, expert) pair, recomputed from the logits. Empty where only the top-k are known.
struct ScoreView {
  LogitView logits;                    // [T, E]
  const float* row_max = nullptr;      // [T]; softmax only
  const float* row_inverse = nullptr;  // [T]: 1 / sum of e^(logit - max); softmax only
  std::int32_t experts = 0;
  Scoring scoring = Scoring::kSoftmax;

  TATR_HD static float exact_score(Scoring scoring, float logit, float maximum, float inverse) {
    return scoring == Scoring::kSigmoid ? exact_sigmoid(logit) : exact_exp(logit - maximum) * inverse;
  }

  TATR_HD float operator()(std::int64_t token, std::int32_t expert) const {
    float score;
    of_experts(token, expert, 1, &score);
    return score;
  }

  /// Scores of `count` neighbouring experts of one token; a loop that compilers turn into vector code.
  TATR_HD void of_experts(std::int64_t token, std::int32_t first, std::int32_t count, float* score) const {
    const std::int64_t row = token * experts + first;
    if (scoring == Scoring::kSigmoid) {
      for (std::int32_t i = 0; i < count; ++i) score[i] = exact_sigmoid(logits[row + i]);
      return;
    }
    const float maximum = row_max[token], inverse = row_inverse[token];
    for (std::int32_t i = 0; i < count; ++i) score[i] = exact_exp(logits[row + i] - maximum) * inverse;
  }
};

/// Top-k routing of one layer. Buffers live in the system that made it.
struct Routing {
  std::int32_t tokens = 0;        // T
  std::int32_t experts = 0;       // E
  std::int32_t top_k = 0;         // K
  Buffer<std::int32_t> chosen;    // [T, K] experts, best first
  Buffer<float> gates;            // [T, K] in [0, 1], never -0: they are ranked by their bits
  Buffer<float> scores;           // [T, K] p of the chosen, likewise
  Buffer<std::uint32_t> members;  // [T, ceil(E/32)] bit e of a row: the token chose expert e
  Buffer<std::int32_t> counts;    // [E]
  Buffer<float> logits;           // [T, E], rounded as config.logits says; empty for a trace of top-k ids and scores,
  Buffer<std::uint16_t> bf16;     // and where they are here: see keeps_bf16
  Buffer<float> row_max;          // [T]
  Buffer<float> row_inverse;      // [T]
  Buffer<float> selection_bias;   // [E]; empty: none
  Buffer<std::uint64_t> tallies;  // [E] for counting on a GPU: zero but while a kernel runs
  Scoring scoring = Scoring::kSoftmax;
  Known known = Known::kScores;  // where gates are not, all are 1 / K

  bool has_all_scores() const { return logits.size() + bf16.size() > 0; }
  LogitView logit_view() const { return {logits.data(), bf16.data()}; }
  ScoreView score_view() const { return {logit_view(), row_max.data(), row_inverse.data(), experts, scoring}; }
};

/// Whether a routing of bf16 logits keeps them as such: on a GPU, but for shapes that its top-k kernel does not take.
/// Elsewhere fp32 holds what they were rounded to, with the same results.
bool keeps_bf16(const System& system, const RouterConfig& config);

/// Routes logits [tokens, experts] (finite; taken over by the result). config.tokens and .experts are the shape.
Routing route(System& system, Buffer<float> logits, const RouterConfig& config);

/// A routing with all its buffers and nothing routed: whoever fills the logits that it has room for, `logits` or, see
/// keeps_bf16, `bf16`, may call route_again; of Known::kGates or kChoices, which has none, route_top_k_again.
Routing prepare_routing(System& system, const RouterConfig& config, Known known = Known::kScores);

/// Routes the logits that `routing` holds once more, into the same buffers, as timed work: gives the system its work
/// and returns; allocates nothing, waits for nothing, and can be recorded for replay. `config` as before.
void route_again(System& system, Routing& routing, const RouterConfig& config);

/// Routing from known top-k: `chosen` and `scores` [tokens, top_k] with distinct experts a row, scores in [0, 1]; what
/// is not a share becomes the nearest one (NaN and -0: 0). Without scores (an empty buffer) each is 1 / top_k.
/// The order within a row becomes high to low score, ties to the lower expert; gates follow config.normalise_gates.
Routing routing_from_top_k(System& system, Buffer<std::int32_t> chosen, Buffer<float> scores,
                           const RouterConfig& config);

/// The same into a routing that is there, as timed work (route_again). `scores` null: they are not known.
void route_top_k_again(System& system, Routing& routing, const std::int32_t* chosen, const float* scores,
                       const RouterConfig& config);

}  // namespace tatr
