// One 64-bit key for a place in an expert's ranking. Ascending keys are experts in index order and, within one, high
// score before low and low token index before high; so a plain integer sort ranks, and the key alone gives score and
// token back.
#pragma once

#include <cassert>
#include <cstdint>

#include "core/exact_math.hpp"
#include "core/platform.hpp"

namespace tatr {

inline constexpr int kTokenBits = 20;  // kMaxTokens
inline constexpr int kScoreBits = 30;  // the bits of a float in [0, 1]
inline constexpr int kPlaceBits = kTokenBits + kScoreBits;
inline constexpr std::uint32_t kScoreMask = (1u << kScoreBits) - 1;

/// Place within the expert: what is below the expert in the key. `score` is in [0, 1] and not -0, whose sign would be
/// lost in another expert's bits: so are the gates of a Routing and all that a ScoreView gives.
TATR_HD inline std::uint64_t rank_place(float score, std::int64_t token) {
  assert(float_bits(score) <= float_bits(1.0f) && token >= 0 && token < (1 << kTokenBits));
  return std::uint64_t{kScoreMask - float_bits(score)} << kTokenBits | static_cast<std::uint64_t>(token);
}

TATR_HD inline std::uint64_t rank_key(std::int32_t expert, std::uint64_t place) {
  return static_cast<std::uint64_t>(expert) << kPlaceBits | place;
}

TATR_HD inline std::int32_t key_token(std::uint64_t key) {
  return static_cast<std::int32_t>(key & ((1u << kTokenBits) - 1));
}

TATR_HD inline float key_score(std::uint64_t key) {
  return float_from_bits(kScoreMask - (static_cast<std::uint32_t>(key >> kTokenBits) & kScoreMask));
}

TATR_HD inline std::int32_t key_expert(std::uint64_t key) { return static_cast<std::int32_t>(key >> kPlaceBits); }

}  // namespace tatr
