// The tensors of the expert layer: x [T, H] -> up-projection [E, 2I, H] -> SwiGLU -> down-projection [E, H, I] -> y
// [T, H], their gradients where it is trained, and the workspace between. Knows no pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "tensor/tensor.hpp"

namespace tatr {

struct LayerShape {
  std::int64_t tokens = 0, experts = 0, hidden = 0, intermediate = 0;
  std::int64_t most_rows = 0;           // of any dispatch that will run
  std::optional<DType> gradients = {};  // of a training pass: what weight gradients are made of; absent: forward only

  bool trains() const { return gradients.has_value(); }
};

/// Bytes that an ExpertLayer allocates.
std::size_t layer_bytes(const LayerShape& shape, DType dtype);

/// Bytes that a forward pass keeps of each row for the backward pass: the up-projection's product, token and gate. What
/// SwiGLU gives is made again.
std::int64_t kept_bytes_per_row(std::int64_t intermediate, DType dtype);

/// Random tensors, scaled to keep activations near one; workspace for most_rows rows, shared by all passes.
struct ExpertLayer {
  ExpertLayer(System& on_system, const LayerShape& with_shape, std::uint64_t seed);

  System& system;
  LayerShape shape;
  DType dtype;                              // what the system's GEMMs multiply
  Tensor x, up_weights, down_weights;       // [T, H]; [E, 2I, H], gate rows first; [E, H, I]
  Tensor gathered, up, activated, down, y;  // [R, H], [R, 2I], [R, I], [R, H]; [T, H]

  // Of a training pass only. On the way back `gathered` holds rows of d_y and then of x again, `activated` the gradient
  // of itself, `down` that of each row's x.
  Tensor d_y, d_x;                      // [T, H]: random; what comes of it
  Tensor d_up, weighted, d_gate;        // [R, 2I]; [R, I], gate times activated; [R], fp32
  Tensor d_up_weights, d_down_weights;  // as the weights, of shape.gradients
};

}  // namespace tatr
