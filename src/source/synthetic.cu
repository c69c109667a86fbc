// Synthetic router logits. Each logit is a pure function of (seed, token, expert), so any number of threads gives the
// same.
#include <stdexcept>

#include "core/exact_math.hpp"
#include "core/integer_math.hpp"
#include "core/philox.hpp"
#include "device/thrust_policy.cuh"
#include "source/synthetic.hpp"

namespace tatr {

namespace {

/// What a synthetic source adds to the independent part of a logit.
struct ExpertOffset {
  SourceKind kind;
  std::uint64_t seed;
  float exponent, sigma, strength, boost;
  std::uint32_t topics, run, hot_experts;

  TATR_HD float operator()(std::uint32_t token, std::uint32_t expert) const {
    switch (kind) {
      case SourceKind::kZipf:
        return -exponent * exact_log(static_cast<float>(expert + 1));
      case SourceKind::kLognormal:
        return sigma * normal_from_bits(random_bits(seed, Stream::kExpertBias, expert, 0));
      case SourceKind::kTopics: {
        const std::uint64_t draw = random_bits(seed, Stream::kTopicOfRun, token / run, 0);
        const auto topic = static_cast<std::uint32_t>((draw * topics) >> 32);
        return strength * normal_from_bits(random_bits(seed, Stream::kTopicLogit, expert, topic));
      }
      case SourceKind::kHot:
        return expert < hot_experts ? boost : 0.0f;
      default:
        return 0.0f;
    }
  }
};

/// Four neighbouring experts of one token: they share one Philox block.
struct MakeFourLogits {
  float* logits;
  std::uint32_t experts, blocks;  // blocks of four experts a token
  float deviation;
  std::uint64_t seed;
  ExpertOffset offset;

  TATR_HD void operator()(std::int64_t index) const {
    const auto token = static_cast<std::uint32_t>(index / blocks);
    const auto block = static_cast<std::uint32_t>(index % blocks);
    const PhiloxCounter draws = philox(seed, {{block, token, 0, static_cast<std::uint32_t>(Stream::kLogit)}});
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t expert = 4 * block + i;
      if (expert >= experts) return;
      const float independent = deviation * normal_from_bits(draws.word[i]);
      logits[static_cast<std::int64_t>(token) * experts + expert] = independent + offset(token, expert);
    }
  }
};

}  // namespace

Buffer<float> synthetic_logits(System& system, const SourceConfig& source, std::uint64_t seed, std::int64_t tokens,
                               std::int64_t experts) {
  if (source.kind == SourceKind::kTrace) throw std::logic_error("synthetic_logits: a trace is read, not made");
  Buffer<float> logits(system, static_cast<std::size_t>(tokens * experts));
  const ExpertOffset offset{source.kind,
                            seed,
                            static_cast<float>(source.exponent),
                            static_cast<float>(source.sigma),
                            static_cast<float>(source.strength),
                            static_cast<float>(source.boost),
                            static_cast<std::uint32_t>(source.topics),
                            static_cast<std::uint32_t>(source.run),
                            static_cast<std::uint32_t>(source.hot_experts)};
  const auto blocks = static_cast<std::uint32_t>(ceil_div<std::int64_t>(experts, 4));
  const MakeFourLogits make{
      logits.data(), static_cast<std::uint32_t>(experts), blocks, static_cast<float>(source.deviation), seed, offset};
  with_policy(system, [&](auto policy) { for_each_index(policy, tokens * blocks, make); });
  return logits;
}

}  // namespace tatr
