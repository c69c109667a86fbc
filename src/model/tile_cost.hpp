// What rows cost in whole tiles, and what a row costs in FLOPs. Modelled: counted from shapes, never measured.
#pragma once

#include <cstdint>

#include "core/integer_math.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// Rows that are neither padding nor duplicates.
inline double useful_rows(const RoundingMetrics& metrics) {
  return static_cast<double>(metrics.rows - metrics.padded - metrics.duplicated);
}

/// Rows of whole tiles, empty ones included: what a GEMM that works in such tiles multiplies.
inline double tile_rows(const RoundingMetrics& metrics) {
  if (metrics.tile > 0) return static_cast<double>(metrics.tiles * metrics.tile);
  return metrics.tile_utilisation > 0 ? useful_rows(metrics) / metrics.tile_utilisation : 0.0;
}

/// Rows that a weight gradient adds up at once: what a matrix instruction's operands are loaded in. It rounds an
/// expert's rows up to that, not to tiles.
inline constexpr std::int64_t kReductionStep = 64;

/// Rows of whole such steps.
inline double step_rows(const RoundingMetrics& metrics) {
  std::int64_t rows = 0;
  for (const std::int32_t count : metrics.counts_after) rows += round_up<std::int64_t>(count, kReductionStep);
  return static_cast<double>(rows);
}

/// What the GEMMs of a way multiply, in rows that go through a forward pass: whole tiles forward; backward as many for
/// gradients of data, and whole steps for those of weights.
inline double forward_rows(const RoundingMetrics& metrics) { return tile_rows(metrics); }
inline double backward_rows(const RoundingMetrics& metrics) { return tile_rows(metrics) + step_rows(metrics); }
inline double both_rows(const RoundingMetrics& metrics) { return forward_rows(metrics) + backward_rows(metrics); }

/// FLOPs of one row through the forward layer: 2 a multiply-add, 3 I H of them.
inline double row_flops(std::int64_t hidden, std::int64_t intermediate) {
  return 6.0 * static_cast<double>(hidden) * static_cast<double>(intermediate);
}

}  // namespace tatr
