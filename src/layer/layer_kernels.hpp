// The expert layer's work between the GEMMs. Arithmetic is fp32, whatever the element type. Widths are multiples of 8.
// Asynchronous on the system's stream.
#pragma once

#include <cstdint>

#include "rounding/rounding.hpp"
#include "tensor/tensor.hpp"

namespace tatr {

/// out[r, :] = x[token[r], :], for x [T, H] and out [R, H]; zeros where token[r] is -1.
void gather_rows(System& system, const TensorView& x, const std::int32_t* token, const TensorView& out);

/// h[r, i] = silu(up[r, i]) * up[r, I + i], for up [R, 2I] and h [R, I]: the first half is the gate.
void swiglu(System& system, const TensorView& up, const TensorView& h);

struct SwigluGradientInput {
  const TensorView &up, &gradient;  // [R, 2I]; [R, I]: of swiglu(up)
  const float* gate;                // [R]
};
struct SwigluGradientOutput {
  const TensorView &up, &weighted;  // [R, 2I]; [R, I]
  float* gate;                      // [R]
};

/// With (a, b) the halves of a row of up: out.up = gate · gradient · (b silu'(a), silu(a)), weighted = gate · silu(a)
/// b, out.gate = sum of gradient · silu(a) b. No atomics: the same bits every time.
void swiglu_gradient(System& system, const SwigluGradientInput& in, const SwigluGradientOutput& out);

/// y[t, :] = sum over the rows of token t, in row order, of gate[row] * rows[row, :], for rows [R, H] and y [T, H];
/// gate null: all 1. No atomics: the same bits every time.
void combine_rows(System& system, const TensorView& rows, const float* gate, const TokenRows& by_token,
                  const TensorView& y);

}  // namespace tatr
