// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC11).
// A draw is a pure function of (key, counter), so the order in which threads draw does not matter.
#pragma once

#include <cstdint>

#include "core/platform.hpp"

namespace tatr {

struct PhiloxCounter {
  std::uint32_t word[4];
};

/// What a draw is for. It is the last word of the counter, so that no two purposes ever share a draw.
enum class Stream : std::uint32_t {
  kLogit = 0,
  kExpertBias = 1,
  kTopicOfRun = 2,
  kTopicLogit = 3,
  kRounding = 4,
  kTensor = 5,
  kTopicOfToken = 6,
  kTokenNoise = 7,
  kTopicCentre = 8,
  kTopicMap = 9,
  kInitialWeight = 10,
  kCounts = 11,
  kPermutation = 12
};

TATR_HD inline PhiloxCounter philox(std::uint64_t key, PhiloxCounter counter) {
  auto key0 = static_cast<std::uint32_t>(key);
  auto key1 = static_cast<std::uint32_t>(key >> 32);
  auto& c = counter.word;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c[2];
    const std::uint32_t next0 = static_cast<std::uint32_t>(product1 >> 32) ^ c[1] ^ key0;
    const std::uint32_t next2 = static_cast<std::uint32_t>(product0 >> 32) ^ c[3] ^ key1;
    c[1] = static_cast<std::uint32_t>(product1);
    c[3] = static_cast<std::uint32_t>(product0);
    c[0] = next0;
    c[2] = next2;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// One 32-bit draw at position (a, b, c) of a stream; four neighbours in `a` share one Philox block.
TATR_HD inline std::uint32_t random_bits(std::uint64_t seed, Stream stream, std::uint32_t a, std::uint32_t b,
                                         std::uint32_t c = 0) {
  return philox(seed, {{a / 4, b, c, static_cast<std::uint32_t>(stream)}}).word[a % 4];
}

}  // namespace tatr
