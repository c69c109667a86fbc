// What a GEMM cannot beat on a device, and what the device is known to reach. Modelled from measured ceilings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/gpu_model.hpp"
#include "rounding/rounding.hpp"
#include "tensor/tensor.hpp"

namespace tatr {

/// Of a shipped device file, by product name; nothing for a device whose ceilings were never measured.
std::optional<DeviceRates> rates_of(const std::string& device);

/// The larger of the FLOPs of whole tiles and of bytes, over the device's rates.
struct GemmFloor {
  double ms = 0;
  bool by_bytes = false;  // bytes bind, not FLOPs
};

/// Rows [R, in] times weights [E, columns, in] of the experts that have rows, into [R, out] (fewer than columns where
/// SwiGLU is fused).
struct GemmWidths {
  std::int64_t in = 0, columns = 0, out = 0;
};

GemmFloor floor_of(const DeviceRates& rates, const RoundingMetrics& metrics, const GemmWidths& widths, DType dtype);

/// Of [R, first] and [R, second] of each expert's rows, the sum of products [first, second], by whole steps and
/// written of every expert.
struct OuterWidths {
  std::int64_t first = 0, second = 0;
};

GemmFloor weight_gradient_floor(const DeviceRates& rates, const RoundingMetrics& metrics, const OuterWidths& widths,
                                DType dtype, DType gradient);

}  // namespace tatr
