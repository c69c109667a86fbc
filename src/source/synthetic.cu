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

ExpertOffset offset_of(const SourceConfig& source, std::uint64_t seed) {
  ExpertOffset offset{};
  offset.kind = source.kind();
  offset.seed = seed;
  if (const auto* zipf = std::get_if<ZipfSource>(&source.options)) {
    offset.exponent = static_cast<float>(zipf->exponent);
  } else if (const auto* lognormal = std::get_if<LognormalSource>(&source.options)) {
    offset.sigma = static_cast<float>(lognormal->sigma);
  } else if (const auto* topics = std::get_if<TopicsSource>(&source.options)) {
    offset.strength = static_cast<float>(topics->strength);
    offset.topics = static_cast<std::uint32_t>(topics->topics);
    offset.run = static_cast<std::uint32_t>(topics->run);
  } else if (const auto* hot = std::get_if<HotSource>(&source.options)) {
    offset.boost = static_cast<float>(hot->boost);
    offset.hot_experts = static_cast<std::uint32_t>(hot->experts);
  } else if (offset.kind != SourceKind::kGaussian) {
    throw std::logic_error("synthetic_logits: the source is not synthetic");
  }
  return offset;
}

}  // namespace

Buffer<float> synthetic_logits(System& system, const SourceConfig& source, std::uint64_t seed, std::int64_t tokens,
                               std::int64_t experts) {
  Buffer<float> logits(system, static_cast<std::size_t>(tokens * experts));
  const ExpertOffset offset = offset_of(source, seed);
  const auto blocks = static_cast<std::uint32_t>(ceil_div<std::int64_t>(experts, 4));
  const MakeFourLogits make{
      logits.data(), static_cast<std::uint32_t>(experts), blocks, static_cast<float>(source.deviation), seed, offset};
  with_policy(system, [&](auto policy) { for_each_index(policy, tokens * blocks, make); });
  return logits;
}

}  // namespace tatr
