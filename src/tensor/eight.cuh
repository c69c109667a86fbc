// Eight neighbouring elements, which is what one thread moves at a time (16 bytes of bf16), and the choice of the
// element type. Included by .cu files only.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/half.hpp"
#include "device/thrust_policy.cuh"
#include "tensor/tensor.hpp"

namespace tatr {

inline constexpr std::int64_t kEight = 8;

/// bf16 as it lies in memory.
struct Bf16 {
  std::uint16_t bits;
};

struct alignas(16) EightBf16 {
  std::uint16_t bits[kEight];
};

TATR_HD inline void load_eight(const float* from, float* to) {
  for (int i = 0; i < kEight; ++i) to[i] = from[i];
}

TATR_HD inline void load_eight(const Bf16* from, float* to) {
  const EightBf16 packed = *reinterpret_cast<const EightBf16*>(from);
  for (int i = 0; i < kEight; ++i) to[i] = float_from_bfloat16(packed.bits[i]);
}

TATR_HD inline void store_eight(const float* from, float* to) {
  for (int i = 0; i < kEight; ++i) to[i] = from[i];
}

TATR_HD inline void store_eight(const float* from, Bf16* to) {
  EightBf16 packed;
  for (int i = 0; i < kEight; ++i) packed.bits[i] = bfloat16_from_float(from[i]);
  *reinterpret_cast<EightBf16*>(to) = packed;
}

TATR_HD inline float load_one(const float* from) { return *from; }
TATR_HD inline float load_one(const Bf16* from) { return float_from_bfloat16(from->bits); }
TATR_HD inline void store_one(float value, float* to) { *to = value; }
TATR_HD inline void store_one(float value, Bf16* to) { to->bits = bfloat16_from_float(value); }

/// Calls body(policy, null pointer of the element type).
template <class Body>
auto with_elements(System& system, DType dtype, Body&& body) {
  return with_policy(system, [&](auto policy) {
    return dtype == DType::kBf16 ? body(policy, static_cast<Bf16*>(nullptr))
                                 : body(policy, static_cast<float*>(nullptr));
  });
}

}  // namespace tatr
