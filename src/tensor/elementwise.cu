#include <thrust/functional.h>
#include <thrust/transform_reduce.h>

#include <cmath>
#include <numeric>

#include "core/exact_math.hpp"
#include "core/half.hpp"
#include "core/integer_math.hpp"
#include "core/philox.hpp"
#include "device/thrust_policy.cuh"
#include "tensor/elementwise.hpp"

namespace tatr {

namespace {

/// Eight neighbouring elements: what one thread moves at a time (16 bytes of bf16).
constexpr std::int64_t kEight = 8;

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
  for (int i = 0; i < kEight; ++i) to[i] = float_from_bits(static_cast<std::uint32_t>(packed.bits[i]) << 16);
}

TATR_HD inline void store_eight(const float* from, float* to) {
  for (int i = 0; i < kEight; ++i) to[i] = from[i];
}

/// To nearest, ties to even; NaN stays NaN.
TATR_HD inline std::uint16_t to_bf16(float value) {
  const std::uint32_t bits = float_bits(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

TATR_HD inline void store_eight(const float* from, Bf16* to) {
  EightBf16 packed;
  for (int i = 0; i < kEight; ++i) packed.bits[i] = to_bf16(from[i]);
  *reinterpret_cast<EightBf16*>(to) = packed;
}

template <class T>
struct FillNormal {
  T* out;
  float scale;
  std::uint64_t seed;
  std::uint32_t tensor;
  TATR_HD void operator()(std::int64_t eight) const {
    float values[kEight];
    for (std::uint32_t half = 0; half < 2; ++half) {
      const std::int64_t block = 2 * eight + half;
      const PhiloxCounter draws =
          philox(seed, {{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), tensor,
                         static_cast<std::uint32_t>(Stream::kTensor)}});
      for (std::uint32_t i = 0; i < 4; ++i) values[4 * half + i] = scale * normal_from_bits(draws.word[i]);
    }
    store_eight(values, out + eight * kEight);
  }
};

template <class T>
struct GatherEight {
  const T* x;
  const std::int32_t* token;
  std::int64_t width;
  T* out;
  TATR_HD void operator()(std::int64_t eight) const {
    const std::int64_t per_row = width / kEight;
    const std::int64_t row = eight / per_row, column = eight % per_row * kEight;
    float values[kEight] = {};
    if (token[row] >= 0) load_eight(x + token[row] * width + column, values);
    store_eight(values, out + row * width + column);
  }
};

template <class T>
struct SwigluEight {
  const T* up;
  std::int64_t width;
  T* h;
  TATR_HD void operator()(std::int64_t eight) const {
    const std::int64_t per_row = width / kEight;
    const std::int64_t row = eight / per_row, column = eight % per_row * kEight;
    float gate[kEight], value[kEight];
    load_eight(up + row * 2 * width + column, gate);
    load_eight(up + row * 2 * width + width + column, value);
    for (int i = 0; i < kEight; ++i) value[i] = gate[i] * exact_sigmoid(gate[i]) * value[i];
    store_eight(value, h + row * width + column);
  }
};

template <class T>
struct CombineEight {
  const T* rows;
  const float* gate;
  const std::int32_t* offsets;
  const std::int32_t* row_of;
  std::int64_t width;
  T* y;
  TATR_HD void operator()(std::int64_t eight) const {
    const std::int64_t per_row = width / kEight;
    const std::int64_t token = eight / per_row, column = eight % per_row * kEight;
    float sum[kEight] = {};
    for (std::int32_t i = offsets[token]; i < offsets[token + 1]; ++i) {
      float values[kEight];
      load_eight(rows + row_of[i] * width + column, values);
      for (int j = 0; j < kEight; ++j) sum[j] += gate[row_of[i]] * values[j];
    }
    store_eight(sum, y + token * width + column);
  }
};

template <class T>
struct PoisonEight {
  T* data;
  TATR_HD void operator()(std::int64_t eight) const {
    float values[kEight];
    for (int i = 0; i < kEight; ++i) values[i] = float_from_bits(0x7FC00000u);
    store_eight(values, data + eight * kEight);
  }
};

template <class T>
struct NotFinite {
  const T* data;
  TATR_HD std::int64_t operator()(std::int64_t eight) const {
    float values[kEight];
    load_eight(data + eight * kEight, values);
    std::int64_t count = 0;
    for (int i = 0; i < kEight; ++i) count += (float_bits(values[i]) & 0x7F800000u) == 0x7F800000u;
    return count;
  }
};

/// Sum of squares over one row of `width` elements, in order; the last row may be shorter.
template <class T>
struct RowDistance {
  const T* a;
  const T* b;  // null: zeros
  std::int64_t count, width;
  double* sums;  // [rows]
  TATR_HD void operator()(std::int64_t row) const {
    double sum = 0.0;
    for (std::int64_t i = row * width; i < (row + 1) * width && i < count; i += kEight) {
      float x[kEight], y[kEight] = {};
      load_eight(a + i, x);
      if (b != nullptr) load_eight(b + i, y);
      for (int j = 0; j < kEight; ++j) {
        const double d = static_cast<double>(x[j]) - static_cast<double>(y[j]);
        sum += d * d;
      }
    }
    sums[row] = sum;
  }
};

/// Calls body(policy, null pointer of the element type).
template <class Body>
auto with_elements(System& system, Body&& body) {
  return with_policy(system, [&](auto policy) {
    if constexpr (kRunsOnGpu<decltype(policy)>) {
      return body(policy, static_cast<Bf16*>(nullptr));
    } else {
      return body(policy, static_cast<float*>(nullptr));
    }
  });
}

}  // namespace

std::size_t element_bytes(const System& system) { return system.is_cuda() ? sizeof(Bf16) : sizeof(float); }

void fill_normal(System& system, void* out, std::int64_t count, float scale, std::uint64_t seed, std::uint32_t tensor) {
  with_elements(system, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, count / kEight, FillNormal<T>{static_cast<T*>(out), scale, seed, tensor});
  });
}

void poison(System& system, void* data, std::int64_t count) {
  with_elements(system, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, count / kEight, PoisonEight<T>{static_cast<T*>(data)});
  });
}

void gather_rows(System& system, const void* x, const Dispatch& dispatch, std::int64_t width, void* out) {
  with_elements(system, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, dispatch.rows * width / kEight,
                   GatherEight<T>{static_cast<const T*>(x), dispatch.token.data(), width, static_cast<T*>(out)});
  });
}

void swiglu(System& system, const void* up, std::int64_t rows, std::int64_t width, void* h) {
  with_elements(system, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, rows * width / kEight, SwigluEight<T>{static_cast<const T*>(up), width, static_cast<T*>(h)});
  });
}

void combine_rows(System& system, const void* rows, const float* gate, const TokenRows& by_token, std::int64_t tokens,
                  std::int64_t width, void* y) {
  with_elements(system, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, tokens * width / kEight,
                   CombineEight<T>{static_cast<const T*>(rows), gate, by_token.offsets.data(), by_token.rows.data(),
                                   width, static_cast<T*>(y)});
  });
}

std::int64_t count_not_finite(System& system, const void* data, std::int64_t count) {
  system.synchronize();  // here the wait has a limit, in the reduction it has none
  return with_elements(system, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const thrust::counting_iterator<std::int64_t> first(0);
    return thrust::transform_reduce(policy, first, first + count / kEight, NotFinite<T>{static_cast<const T*>(data)},
                                    std::int64_t{0}, thrust::plus<std::int64_t>());
  });
}

std::vector<double> row_distances(System& system, const void* a, const void* b, std::int64_t count,
                                  std::int64_t width) {
  return with_elements(system, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const std::int64_t rows = ceil_div(count, width);
    Buffer<double> sums(system, static_cast<std::size_t>(rows));
    for_each_index(policy, rows,
                   RowDistance<T>{static_cast<const T*>(a), static_cast<const T*>(b), count, width, sums.data()});
    return sums.to_host();
  });
}

double relative_difference(System& system, const void* a, const void* b, std::int64_t count) {
  constexpr std::int64_t kWidth = 8192;
  const auto sum = [&](const void* from, const void* to) {
    const std::vector<double> parts = row_distances(system, from, to, count, kWidth);
    return std::accumulate(parts.begin(), parts.end(), 0.0);
  };
  const double difference = sum(a, b);
  return difference == 0.0 ? 0.0 : std::sqrt(difference / sum(b, nullptr));
}

std::vector<float> elements_to_host(System& system, const void* data, std::int64_t first, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  if (!system.is_cuda()) {
    system.copy_to_host(values.data(), static_cast<const float*>(data) + first, values.size() * sizeof(float));
    return values;
  }
  std::vector<std::uint16_t> bits(values.size());
  system.copy_to_host(bits.data(), static_cast<const std::uint16_t*>(data) + first,
                      bits.size() * sizeof(std::uint16_t));
  for (std::size_t i = 0; i < bits.size(); ++i) values[i] = float_from_bfloat16(bits[i]);
  return values;
}

}  // namespace tatr
