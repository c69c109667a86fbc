// The tensors of the expert layer: x [T, H] -> up-projection [E, 2I, H] -> SwiGLU -> down-projection [E, H, I] -> y
// [T, H], and the workspace between. Knows no pass.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/tensor.hpp"

namespace tatr {

struct LayerShape {
  std::int64_t tokens = 0, experts = 0, hidden = 0, intermediate = 0;
  std::int64_t most_rows = 0;  // of any dispatch that will run
};

/// Bytes that an ExpertLayer allocates.
std::size_t layer_bytes(const LayerShape& shape, DType dtype);

/// Random tensors, scaled to keep activations near one; workspace for most_rows rows, shared by all passes.
struct ExpertLayer {
  ExpertLayer(System& on_system, const LayerShape& with_shape, std::uint64_t seed);

  System& system;
  LayerShape shape;
  DType dtype;                              // what the system's GEMMs multiply
  Tensor x, up_weights, down_weights;       // [T, H]; [E, 2I, H], gate rows first; [E, H, I]
  Tensor gathered, up, activated, down, y;  // [R, H], [R, 2I], [R, I], [R, H]; [T, H]
};

}  // namespace tatr
