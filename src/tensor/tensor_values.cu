#include <thrust/equal.h>
#include <thrust/functional.h>
#include <thrust/transform_reduce.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/exact_math.hpp"
#include "core/philox.hpp"
#include "tensor/eight.cuh"
#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

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

constexpr std::uint32_t kNan = 0x7FC00000u, kExponent = 0x7F800000u;

template <class T>
struct PoisonEight {
  T* data;
  std::int64_t count;
  TATR_HD void operator()(std::int64_t eight) const {
    float values[kEight];
    for (int i = 0; i < kEight; ++i) values[i] = float_from_bits(kNan);
    const std::int64_t first = eight * kEight;
    if (first + kEight <= count) return store_eight(values, data + first);
    for (std::int64_t i = first; i < count; ++i) store_one(values[0], data + i);
  }
};

template <class T>
struct NotFinite {
  const T* data;
  std::int64_t count;
  TATR_HD std::int64_t operator()(std::int64_t eight) const {
    float values[kEight] = {};
    const std::int64_t first = eight * kEight;
    if (first + kEight <= count) {
      load_eight(data + first, values);
    } else {
      for (std::int64_t i = first; i < count; ++i) values[i - first] = load_one(data + i);
    }
    std::int64_t bad = 0;
    for (int i = 0; i < kEight; ++i) bad += (float_bits(values[i]) & kExponent) == kExponent;
    return bad;
  }
};

/// Elements by their places, for the host.
template <class T>
struct PickElement {
  const T* data;
  const std::int64_t* elements;
  float* out;
  TATR_HD void operator()(std::int64_t i) const { out[i] = elements[i] < 0 ? 0.0f : load_one(data + elements[i]); }
};

/// Sum of squares over one row, in order.
template <class T>
struct RowDistance {
  const T* a;
  const T* b;  // null: zeros
  std::int64_t width;
  double* sums;  // [rows]
  TATR_HD void operator()(std::int64_t row) const {
    double sum = 0.0;
    for (std::int64_t i = row * width; i < (row + 1) * width; i += kEight) {
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

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

/// `b` null: zeros.
std::vector<double> row_sums(System& system, const TensorView& a, const void* b) {
  return with_elements(system, a.dtype, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const std::int64_t rows = a.count() / a.width();
    Buffer<double> sums(system, static_cast<std::size_t>(rows));
    for_each_index(policy, rows,
                   RowDistance<T>{static_cast<const T*>(a.data), static_cast<const T*>(b), a.width(), sums.data()});
    return sums.to_host();
  });
}

}  // namespace

void fill_normal(System& system, const TensorView& out, float scale, std::uint64_t seed, std::uint32_t stream) {
  with_elements(system, out.dtype, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, out.count() / kEight, FillNormal<T>{static_cast<T*>(out.data), scale, seed, stream});
  });
}

void poison(System& system, const TensorView& data) {
  with_elements(system, data.dtype, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, ceil_div(data.count(), kEight), PoisonEight<T>{static_cast<T*>(data.data), data.count()});
  });
}

std::int64_t count_not_finite(System& system, const TensorView& data) {
  system.synchronize();  // here the wait has a limit, in the reduction it has none
  return with_elements(system, data.dtype, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const thrust::counting_iterator<std::int64_t> first(0);
    return thrust::transform_reduce(policy, first, first + ceil_div(data.count(), kEight),
                                    NotFinite<T>{static_cast<const T*>(data.data), data.count()}, std::int64_t{0},
                                    thrust::plus<std::int64_t>());
  });
}

std::vector<double> row_squares(System& system, const TensorView& a) { return row_sums(system, a, nullptr); }

std::vector<double> row_distances(System& system, const TensorView& a, const TensorView& b) {
  return row_sums(system, a, b.data);
}

double relative_difference(System& system, const TensorView& a, const TensorView& b) {
  const double difference = sum(row_distances(system, a, b));
  return difference == 0.0 ? 0.0 : std::sqrt(difference / sum(row_squares(system, b)));
}

bool same_bits(System& system, const TensorView& a, const TensorView& b) {
  const std::int64_t halves = a.count() * static_cast<std::int64_t>(bytes_of(a.dtype) / sizeof(std::uint16_t));
  const auto *first = static_cast<const std::uint16_t*>(a.data), *other = static_cast<const std::uint16_t*>(b.data);
  system.synchronize();  // here the wait has a limit, in the comparison it has none
  return a.dtype == b.dtype && a.shape == b.shape &&
         with_policy(system, [&](auto policy) { return thrust::equal(policy, first, first + halves, other); });
}

std::vector<float> to_host(System& system, const TensorView& data, std::int64_t first, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  if (data.dtype == DType::kFp32) {
    system.copy_to_host(values.data(), static_cast<const float*>(data.data) + first, values.size() * sizeof(float));
    return values;
  }
  std::vector<std::uint16_t> bits(values.size());
  system.copy_to_host(bits.data(), static_cast<const std::uint16_t*>(data.data) + first,
                      bits.size() * sizeof(std::uint16_t));
  for (std::size_t i = 0; i < bits.size(); ++i) values[i] = float_from_bfloat16(bits[i]);
  return values;
}

std::vector<float> to_host(System& system, const TensorView& data) { return to_host(system, data, 0, data.count()); }

std::vector<float> to_host_at(System& system, const TensorView& data, const std::vector<std::int64_t>& elements) {
  constexpr std::size_t kAtOnce = std::size_t{1} << 20;
  std::vector<float> values(elements.size());
  const std::size_t room = std::min(kAtOnce, elements.size());
  Buffer<std::int64_t> places(system, room);
  Buffer<float> picked(system, room);
  for (std::size_t first = 0; first < elements.size(); first += room) {
    const std::size_t count = std::min(room, elements.size() - first);
    system.copy_from_host(places.data(), elements.data() + first, count * sizeof(std::int64_t));
    with_elements(system, data.dtype, [&](auto policy, auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      for_each_index(policy, static_cast<std::int64_t>(count),
                     PickElement<T>{static_cast<const T*>(data.data), places.data(), picked.data()});
    });
    system.copy_to_host(values.data() + first, picked.data(), count * sizeof(float));
  }
  return values;
}

}  // namespace tatr
