// Dense arrays of one element type in a system's memory: what owns one, and what looks at one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "device/system.hpp"

namespace tatr {

enum class DType { kFp32, kBf16 };

constexpr std::size_t bytes_of(DType dtype) { return dtype == DType::kFp32 ? 4 : 2; }

/// What GEMMs of the layer multiply on a device: bf16, accumulated in fp32, on a GPU; fp32 on a CPU.
inline DType gemm_dtype(const DeviceInfo& device) { return device.is_gpu ? DType::kBf16 : DType::kFp32; }

/// Row-major, the last dimension contiguous. Owns nothing.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kFp32;
  std::vector<std::int64_t> shape;

  std::int64_t count() const {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  }
  std::int64_t width() const { return shape.back(); }

  /// The first `rows` of the first dimension.
  TensorView first(std::int64_t rows) const {
    TensorView part = *this;
    part.shape.front() = rows;
    return part;
  }
};

/// Move-only; the system must outlive it. Values are not set.
class Tensor {
 public:
  Tensor() = default;
  Tensor(System& system, DType dtype, std::vector<std::int64_t> shape)
      : view_{nullptr, dtype, std::move(shape)},
        buffer_(system, static_cast<std::size_t>(view_.count()) * bytes_of(dtype)) {
    view_.data = buffer_.data();
  }
  Tensor(Tensor&&) = default;
  Tensor& operator=(Tensor&&) = default;

  const TensorView& view() const { return view_; }
  void* data() const { return view_.data; }
  std::size_t bytes() const { return buffer_.size(); }

 private:
  TensorView view_;
  Buffer<std::byte> buffer_;
};

}  // namespace tatr
