#include "core/exact_math.hpp"
#include "layer/layer_kernels.hpp"
#include "tensor/eight.cuh"

#if defined(__CUDACC__)
#include "device/cuda_check.hpp"
#endif

namespace tatr {

namespace {

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
  const float* gate;  // null: all 1
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
      const float factor = gate == nullptr ? 1.0f : gate[row_of[i]];
      for (int j = 0; j < kEight; ++j) sum[j] += factor * values[j];
    }
    store_eight(sum, y + token * width + column);
  }
};

template <class T>
struct SwigluGradientParams {
  const T *up, *gradient;
  const float* gate;
  std::int64_t rows, width;  // I
  T *d_up, *weighted;
  float* d_gate;
};

/// Eight columns of a row; gives their part of the gate's gradient.
template <class T>
TATR_HD float gradient_of_eight(const SwigluGradientParams<T>& p, std::int64_t row, std::int64_t column) {
  float a[kEight], b[kEight], gradient[kEight], weighted[kEight];
  const std::int64_t wide = row * 2 * p.width + column, narrow = row * p.width + column;
  load_eight(p.up + wide, a);
  load_eight(p.up + wide + p.width, b);
  load_eight(p.gradient + narrow, gradient);
  const float gate = p.gate[row];
  float sum = 0.0f;
  for (int i = 0; i < kEight; ++i) {
    const float share = exact_sigmoid(a[i]), silu = a[i] * share;
    const float activated = silu * b[i], gated = gate * gradient[i];
    sum += gradient[i] * activated;
    weighted[i] = gate * activated;
    a[i] = gated * b[i] * (share + silu * (1.0f - share));
    b[i] = gated * silu;
  }
  store_eight(a, p.d_up + wide);
  store_eight(b, p.d_up + wide + p.width);
  store_eight(weighted, p.weighted + narrow);
  return sum;
}

template <class T>
struct SwigluGradientRow {
  SwigluGradientParams<T> p;
  TATR_HD void operator()(std::int64_t row) const {
    float sum = 0.0f;
    for (std::int64_t column = 0; column < p.width; column += kEight) sum += gradient_of_eight(p, row, column);
    p.d_gate[row] = sum;
  }
};

#if defined(__CUDACC__)
constexpr int kWarp = 32, kGradientWarps = 8;

/// A warp a row. Its lanes' sums are added up in a fixed order.
template <class T>
__global__ void __launch_bounds__(kWarp* kGradientWarps) swiglu_gradient_rows(const SwigluGradientParams<T> p) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kGradientWarps + threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (row >= p.rows) return;
  float sum = 0.0f;
  for (std::int64_t column = lane * kEight; column < p.width; column += kWarp * kEight) {
    sum += gradient_of_eight(p, row, column);
  }
  for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_down_sync(0xFFFFFFFFu, sum, step);
  if (lane == 0) p.d_gate[row] = sum;
}
#endif

}  // namespace

void gather_rows(System& system, const TensorView& x, const std::int32_t* token, const TensorView& out) {
  with_elements(system, x.dtype, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, out.count() / kEight,
                   GatherEight<T>{static_cast<const T*>(x.data), token, x.width(), static_cast<T*>(out.data)});
  });
}

void swiglu(System& system, const TensorView& up, const TensorView& h) {
  with_elements(system, up.dtype, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, h.count() / kEight,
                   SwigluEight<T>{static_cast<const T*>(up.data), h.width(), static_cast<T*>(h.data)});
  });
}

void swiglu_gradient(System& system, const SwigluGradientInput& in, const SwigluGradientOutput& out) {
  with_elements(system, in.up.dtype, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const std::int64_t width = in.gradient.width(), rows = in.gradient.shape.front();
    const SwigluGradientParams<T> params{
        static_cast<const T*>(in.up.data), static_cast<const T*>(in.gradient.data), in.gate, rows, width,
        static_cast<T*>(out.up.data),      static_cast<T*>(out.weighted.data),      out.gate};
    if constexpr (kRunsOnGpu<decltype(policy)>) {
#if defined(__CUDACC__)
      if (rows == 0) return;
      const auto blocks = static_cast<unsigned>(ceil_div<std::int64_t>(rows, kGradientWarps));
      swiglu_gradient_rows<<<blocks, kWarp * kGradientWarps, 0, system.stream()>>>(params);
      TATR_CHECK_LAUNCH(swiglu_gradient_rows);
#endif
    } else {
      for_each_index(policy, rows, SwigluGradientRow<T>{params});
    }
  });
}

void combine_rows(System& system, const TensorView& rows, const float* gate, const TokenRows& by_token,
                  const TensorView& y) {
  with_elements(system, rows.dtype, [&](auto policy, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    for_each_index(policy, y.count() / kEight,
                   CombineEight<T>{static_cast<const T*>(rows.data), gate, by_token.offsets.data(),
                                   by_token.rows.data(), y.width(), static_cast<T*>(y.data)});
  });
}

}  // namespace tatr
