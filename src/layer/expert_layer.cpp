#include "layer/expert_layer.hpp"

#include <cmath>
#include <vector>

#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

/// Which stream of random numbers a tensor is made of.
enum RandomStream : std::uint32_t { kInput = 0, kUpWeights = 1, kDownWeights = 2, kGathered = 3, kActivated = 4 };

struct Shapes {
  explicit Shapes(const LayerShape& s)
      : x{s.tokens, s.hidden},
        up_weights{s.experts, 2 * s.intermediate, s.hidden},
        down_weights{s.experts, s.hidden, s.intermediate},
        rows{s.most_rows, s.hidden},
        up{s.most_rows, 2 * s.intermediate},
        activated{s.most_rows, s.intermediate} {}
  std::vector<std::int64_t> x, up_weights, down_weights, rows, up, activated;
};

}  // namespace

std::size_t layer_bytes(const LayerShape& shape, DType dtype) {
  const Shapes shapes(shape);
  std::int64_t count = 0;
  for (const auto* each : {&shapes.x, &shapes.up_weights, &shapes.down_weights, &shapes.rows, &shapes.up,
                           &shapes.activated, &shapes.rows, &shapes.x}) {
    count += TensorView{nullptr, dtype, *each}.count();
  }
  return static_cast<std::size_t>(count) * bytes_of(dtype);
}

ExpertLayer::ExpertLayer(System& on_system, const LayerShape& with_shape, std::uint64_t seed)
    : system(on_system), shape(with_shape), dtype(gemm_dtype(on_system.device())) {
  const Shapes shapes(shape);
  const auto make = [&](const std::vector<std::int64_t>& of_shape) { return Tensor(system, dtype, of_shape); };
  x = make(shapes.x);
  up_weights = make(shapes.up_weights);
  down_weights = make(shapes.down_weights);
  gathered = make(shapes.rows);
  up = make(shapes.up);
  activated = make(shapes.activated);
  down = make(shapes.rows);
  y = make(shapes.x);
  const auto fan_in = [](std::int64_t width) { return 1.0f / std::sqrt(static_cast<float>(width)); };
  fill_normal(system, x.view(), 1.0f, seed, kInput);
  fill_normal(system, up_weights.view(), fan_in(shape.hidden), seed, kUpWeights);
  // The uniform yardstick multiplies the workspace as it is: never zeros, never what was there before.
  fill_normal(system, gathered.view(), 1.0f, seed, kGathered);
  fill_normal(system, activated.view(), 1.0f, seed, kActivated);
  fill_normal(system, down_weights.view(), fan_in(shape.intermediate), seed, kDownWeights);
}

}  // namespace tatr
