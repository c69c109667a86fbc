// exp, log, sigmoid and the normal quantile in fp32, bit-equal on every machine.
//
// Whatever decides an integer (a logit, a choice, a rank) is computed here and nowhere else. Only +, -, *, / and sqrt
// are used, each rounded once as IEEE 754 demands: the build forbids contraction into fused multiply-adds on the host
// (-ffp-contract=off) and on the device (--fmad=false). Separate roundings rather than fused ones, because an x86-64
// without FMA pays a library call for each; and because SSE2, NumPy and every GPU then do the same. Only the terms of a
// softmax's sum, which are most of what routing computes, are made of fused operations, by name.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/platform.hpp"

namespace tatr {

TATR_HD inline std::uint32_t float_bits(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

TATR_HD inline float float_from_bits(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// A number as a share: from 0 to 1 and without a sign, so that its bits rank as it does. What is below 0, -0 and NaN
/// included, becomes +0.
TATR_HD inline float as_share(float value) { return value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f; }

inline constexpr float kLowestExponent = -87.3f;  // below it e^x is subnormal

/// e^x for x in [kLowestExponent, 88]. Error under 2 ulp. Polynomial: Moshier, Cephes library, expf.
TATR_HD inline float exact_exp_within(float x) {
  constexpr float kRoundToInteger = 12582912.0f;  // 1.5 * 2^23: adding it leaves the integer in the low mantissa bits
  const float shifted = x * 1.44269504f + kRoundToInteger;
  const float n = shifted - kRoundToInteger;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts; n times the first is exact
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float mantissa = (p * (r * r) + r) + 1.0f;
  return float_from_bits(float_bits(mantissa) + (float_bits(shifted) << 23));  // what stands above n is shifted out
}

/// e^x for x <= 88 (more is taken as 88); 0 below kLowestExponent.
TATR_HD inline float exact_exp(float x) {
  constexpr float kHighest = 88.0f;
  const float clamped = x < kLowestExponent ? kLowestExponent : (x > kHighest ? kHighest : x);
  return x < kLowestExponent ? 0.0f : exact_exp_within(clamped);
}

/// e^x for x <= 0, as a term of a sum that has a term of 1: what is below kLowestExponent is taken as that, which such
/// a sum does not notice. Half the work of exact_exp, for routing computes one for every logit: by fused operations,
/// and within 4 * 2^-24 of the value down to x = -30. Polynomial: minimax of the relative error for |r| <= ln(2) / 2,
/// with e^0 = 1.
TATR_HD inline float softmax_term(float x) {
  constexpr float kRoundToInteger = 12582912.0f;
#if defined(__CUDA_ARCH__)
  const float within = fmaxf(x, kLowestExponent);  // one instruction
#else
  const float within = x < kLowestExponent ? kLowestExponent : x;
#endif
  const float shifted = fmaf(within, 1.44269504f, kRoundToInteger);
  const float r = fmaf(shifted - kRoundToInteger, -0.69314718f, within);
  float p = 0.0082903085f;
  p = fmaf(p, r, 0.041897964f);
  p = fmaf(p, r, 0.16667637f);
  p = fmaf(p, r, 0.4999915f);
  p = fmaf(p, r, 0.9999997f);
  p = fmaf(p, r, 1.0f);
  return float_from_bits(float_bits(p) + (float_bits(shifted) << 23));
}

/// Natural logarithm of a positive normal number. Error under 2 ulp. Polynomial: Moshier, Cephes library, logf.
TATR_HD inline float exact_log(float x) {
  const std::uint32_t bits = float_bits(x);
  // Mantissa in [sqrt(1/2), sqrt(2)), so that the result near 1 keeps its relative precision.
  const bool above = (bits & 0x007FFFFFu) > 0x003504F3u;
  const auto exponent = static_cast<float>(static_cast<int>(bits >> 23) - 127 + (above ? 1 : 0));
  const float m = float_from_bits((bits & 0x007FFFFFu) | (above ? 0x3F000000u : 0x3F800000u)) - 1.0f;
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = p * m * z;
  y = y + exponent * -2.12194440e-4f;
  y = y - 0.5f * z;
  return (m + y) + exponent * 0.693359375f;
}

/// 1 / (1 + e^-x).
TATR_HD inline float exact_sigmoid(float x) { return 1.0f / (1.0f + exact_exp(-x)); }

/// The standard normal quantile of a probability in (0, 1). Wichura, Algorithm AS 241 (PPND7), Applied Statistics 37
/// (1988).
TATR_HD inline float normal_quantile(float probability) {
  const float q = probability - 0.5f;
  if (q >= -0.425f && q <= 0.425f) {
    const float r = 0.180625f - q * q;
    return q * (((59.109374720f * r + 159.29113202f) * r + 50.434271938f) * r + 3.3871327179f) /
           (((67.187563600f * r + 78.757757664f) * r + 17.895169469f) * r + 1.0f);
  }
  float r = sqrtf(-exact_log(q < 0.0f ? probability : 1.0f - probability));
  float magnitude;
  if (r <= 5.0f) {
    r = r - 1.6f;
    magnitude = (((0.17023821103f * r + 1.3067284816f) * r + 2.7568153900f) * r + 1.4234372777f) /
                ((0.12021132975f * r + 0.73700164250f) * r + 1.0f);
  } else {
    r = r - 5.0f;
    magnitude = (((0.017337203997f * r + 0.42868294337f) * r + 3.0812263860f) * r + 6.6579051150f) /
                ((0.012258202635f * r + 0.24197894225f) * r + 1.0f);
  }
  return q < 0.0f ? -magnitude : magnitude;
}

/// A standard normal draw from 32 random bits; its 2^23 levels reach +-5.4.
TATR_HD inline float normal_from_bits(std::uint32_t bits) {
  return normal_quantile((static_cast<float>(bits >> 9) + 0.5f) * 1.1920928955078125e-7f);
}

}  // namespace tatr
