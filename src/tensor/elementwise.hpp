// The expert layer's work between the GEMMs, and the random tensors that it runs on. Element type as the system's GEMMs
// have it: fp32 on the CPU, bf16 on a GPU; arithmetic is fp32. All widths are multiples of 8. Asynchronous on the
// system's stream.
#pragma once

#include <cstdint>
#include <vector>

#include "device/system.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// Bytes of one element of the system's tensors.
std::size_t element_bytes(const System& system);

/// out[i] = scale * N(0, 1), element i from (seed, tensor, i): the same values on every system, but for bf16's
/// rounding.
void fill_normal(System& system, void* out, std::int64_t count, float scale, std::uint64_t seed, std::uint32_t tensor);

/// Every element becomes NaN, so that what a stage leaves unwritten is seen.
void poison(System& system, void* data, std::int64_t count);

/// out[r, :] = x[token[r], :]; zeros where token[r] is -1.
void gather_rows(System& system, const void* x, const Dispatch& dispatch, std::int64_t width, void* out);

/// h[r, i] = silu(up[r, i]) * up[r, width + i]: the first half of the up-projection is the gate.
void swiglu(System& system, const void* up, std::int64_t rows, std::int64_t width, void* h);

/// y[t, :] = sum over the rows of token t, in row order, of gate[row] * rows[row, :]. No atomics: the same bits every
/// time.
void combine_rows(System& system, const void* rows, const float* gate, const TokenRows& by_token, std::int64_t tokens,
                  std::int64_t width, void* y);

/// Elements that are not finite.
std::int64_t count_not_finite(System& system, const void* data, std::int64_t count);

/// ||a[r, :] - b[r, :]||^2 for each row of `width` of the `count` elements, or ||a[r, :]||^2 where b is null; fp64,
/// summed in a fixed order.
std::vector<double> row_distances(System& system, const void* a, const void* b, std::int64_t count, std::int64_t width);

/// ||a - b|| / ||b|| over count elements, summed likewise; 0 if both are zero.
double relative_difference(System& system, const void* a, const void* b, std::int64_t count);

/// Elements first … first + count - 1, as floats on the host.
std::vector<float> elements_to_host(System& system, const void* data, std::int64_t first, std::int64_t count);

}  // namespace tatr
