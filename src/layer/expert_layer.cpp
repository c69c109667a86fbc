#include "layer/expert_layer.hpp"

#include <cmath>
#include <vector>

#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

/// Which stream of random numbers a tensor is made of.
enum RandomStream : std::uint32_t {
  kInput = 0,
  kUpWeights = 1,
  kDownWeights = 2,
  kGathered = 3,
  kActivated = 4,
  kOutputGradient = 5
};

/// A tensor of the layer: where it is, and what it is.
struct Member {
  Tensor ExpertLayer::*tensor;
  DType dtype;
  std::vector<std::int64_t> shape;
};

std::vector<Member> members_of(const LayerShape& s, DType dtype) {
  const std::vector<std::int64_t> tokens{s.tokens, s.hidden}, rows{s.most_rows, s.hidden},
      up{s.most_rows, 2 * s.intermediate}, activated{s.most_rows, s.intermediate},
      up_weights{s.experts, 2 * s.intermediate, s.hidden}, down_weights{s.experts, s.hidden, s.intermediate};
  std::vector<Member> members = {{&ExpertLayer::x, dtype, tokens},
                                 {&ExpertLayer::up_weights, dtype, up_weights},
                                 {&ExpertLayer::down_weights, dtype, down_weights},
                                 {&ExpertLayer::gathered, dtype, rows},
                                 {&ExpertLayer::up, dtype, up},
                                 {&ExpertLayer::activated, dtype, activated},
                                 {&ExpertLayer::down, dtype, rows},
                                 {&ExpertLayer::y, dtype, tokens}};
  if (!s.trains()) return members;
  members.insert(members.end(), {{&ExpertLayer::d_y, dtype, tokens},
                                 {&ExpertLayer::d_x, dtype, tokens},
                                 {&ExpertLayer::d_up, dtype, up},
                                 {&ExpertLayer::weighted, dtype, activated},
                                 {&ExpertLayer::d_gate, DType::kFp32, {s.most_rows}},
                                 {&ExpertLayer::d_up_weights, *s.gradients, up_weights},
                                 {&ExpertLayer::d_down_weights, *s.gradients, down_weights}});
  return members;
}

}  // namespace

std::size_t layer_bytes(const LayerShape& shape, DType dtype) {
  std::size_t bytes = 0;
  for (const Member& member : members_of(shape, dtype)) {
    bytes += static_cast<std::size_t>(TensorView{nullptr, member.dtype, member.shape}.count()) * bytes_of(member.dtype);
  }
  return bytes;
}

std::int64_t kept_bytes_per_row(std::int64_t intermediate, DType dtype) {
  return 2 * intermediate * static_cast<std::int64_t>(bytes_of(dtype)) +
         static_cast<std::int64_t>(sizeof(std::int32_t) + sizeof(float));
}

ExpertLayer::ExpertLayer(System& on_system, const LayerShape& with_shape, std::uint64_t seed)
    : system(on_system), shape(with_shape), dtype(gemm_dtype(on_system.device())) {
  for (const Member& member : members_of(shape, dtype)) this->*member.tensor = {system, member.dtype, member.shape};
  const auto fan_in = [](std::int64_t width) { return 1.0f / std::sqrt(static_cast<float>(width)); };
  fill_normal(system, x.view(), 1.0f, seed, kInput);
  fill_normal(system, up_weights.view(), fan_in(shape.hidden), seed, kUpWeights);
  // The uniform yardstick multiplies the workspace as it is: never zeros, never what was there before.
  fill_normal(system, gathered.view(), 1.0f, seed, kGathered);
  fill_normal(system, activated.view(), 1.0f, seed, kActivated);
  fill_normal(system, down_weights.view(), fan_in(shape.intermediate), seed, kDownWeights);
  if (shape.trains()) fill_normal(system, d_y.view(), 1.0f, seed, kOutputGradient);
}

}  // namespace tatr
