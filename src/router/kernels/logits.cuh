// Vector loads of router logits on a GPU.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/exact_math.hpp"

namespace tatr {

__device__ inline float4 four_of_bf16(uint2 bits) {
  return {float_from_bits(bits.x << 16), float_from_bits(bits.x & 0xFFFF0000u), float_from_bits(bits.y << 16),
          float_from_bits(bits.y & 0xFFFF0000u)};
}

/// Four neighbouring logits, aligned to as many.
__device__ inline float4 four_logits(const float* logits) { return __ldg(reinterpret_cast<const float4*>(logits)); }

__device__ inline float4 four_logits(const std::uint16_t* logits) {
  return four_of_bf16(__ldg(reinterpret_cast<const uint2*>(logits)));
}

}  // namespace tatr
