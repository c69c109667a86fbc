// The values of tensors: random ones, poison, and comparisons. Arithmetic is fp32 or fp64 as said, whatever the element
// type. Rows are multiples of 8 elements wide. Asynchronous on the system's stream but where a value is returned.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.hpp"

namespace tatr {

/// out[i] = scale * N(0, 1), element i from (seed, stream, i): the same values on every system, but for bf16's
/// rounding.
void fill_normal(System& system, const TensorView& out, float scale, std::uint64_t seed, std::uint32_t stream);

/// Every element, of any width, becomes NaN, so that what a stage leaves unwritten is seen.
void poison(System& system, const TensorView& data);

/// Elements that are not finite, of any width.
std::int64_t count_not_finite(System& system, const TensorView& data);

/// ||a[r, :]||^2 for each row; fp64, summed in a fixed order.
std::vector<double> row_squares(System& system, const TensorView& a);

/// ||a[r, :] - b[r, :]||^2 for each row of two tensors of one type and shape; likewise.
std::vector<double> row_distances(System& system, const TensorView& a, const TensorView& b);

/// ||a - b|| / ||b||, summed likewise; 0 if both are zero.
double relative_difference(System& system, const TensorView& a, const TensorView& b);

/// Whether two tensors are of one type and shape, and the same in every bit: NaNs too.
bool same_bits(System& system, const TensorView& a, const TensorView& b);

/// Elements first … first + count - 1, as floats on the host.
std::vector<float> to_host(System& system, const TensorView& data, std::int64_t first, std::int64_t count);
std::vector<float> to_host(System& system, const TensorView& data);

/// Elements wherever they are, in the order of their places; 0 where a place is -1. A column costs no more than a row.
std::vector<float> to_host_at(System& system, const TensorView& data, const std::vector<std::int64_t>& elements);

}  // namespace tatr
