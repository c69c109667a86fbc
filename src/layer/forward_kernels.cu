#include "core/exact_math.hpp"
#include "layer/forward_kernels.hpp"
#include "tensor/eight.cuh"

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
