#include "layer/expert_layer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "layer/elementwise.hpp"

namespace tatr {

namespace {

/// Which tensor a random element belongs to.
enum Tensor : std::uint32_t { kInput = 0, kUpWeights = 1, kDownWeights = 2 };

constexpr int kSampledRows = 48, kSampledColumns = 32;

/// `count` indices spread over [0, size), the first and the last among them.
std::vector<std::int64_t> spread(std::int64_t size, int count) {
  std::vector<std::int64_t> indices;
  const std::int64_t most = std::min<std::int64_t>(count, size);
  for (std::int64_t i = 0; i < most; ++i) indices.push_back(most == 1 ? 0 : i * (size - 1) / (most - 1));
  return indices;
}

/// Relative error of sampled values against their reference.
class Comparison {
 public:
  void add(double value, double reference) {
    difference_ += (value - reference) * (value - reference);
    base_ += reference * reference;
  }
  double error() const { return difference_ == 0.0 ? 0.0 : std::sqrt(difference_ / base_); }

 private:
  double difference_ = 0.0, base_ = 0.0;
};

/// bf16 rounds each output to 8 bits; sums of fp32 over a few thousand terms stay far below the other limit.
double tolerance(const System& system) { return system.is_cuda() ? 5e-3 : 1e-5; }

double silu(double x) { return x / (1.0 + std::exp(-x)); }

struct Sizes {
  std::int64_t x, up_weights, down_weights, gathered, up, activated, down, y;
};

Sizes sizes_of(const LayerShape& s) {
  return {s.tokens * s.hidden,
          s.experts * 2 * s.intermediate * s.hidden,
          s.experts * s.hidden * s.intermediate,
          s.most_rows * s.hidden,
          s.most_rows * 2 * s.intermediate,
          s.most_rows * s.intermediate,
          s.most_rows * s.hidden,
          s.tokens * s.hidden};
}

}  // namespace

std::size_t layer_bytes(const LayerShape& shape, std::size_t element_bytes) {
  const Sizes n = sizes_of(shape);
  return static_cast<std::size_t>(n.x + n.up_weights + n.down_weights + n.gathered + n.up + n.activated + n.down +
                                  n.y) *
         element_bytes;
}

ExpertLayer::ExpertLayer(System& system, const LayerShape& shape, std::uint64_t seed) : system_(system), shape_(shape) {
  const Sizes n = sizes_of(shape);
  const auto make = [&](std::int64_t count) {
    return Buffer<std::byte>(system, static_cast<std::size_t>(count) * element_bytes(system));
  };
  x_ = make(n.x);
  up_weights_ = make(n.up_weights);
  down_weights_ = make(n.down_weights);
  gathered_ = make(n.gathered);
  up_ = make(n.up);
  activated_ = make(n.activated);
  down_ = make(n.down);
  y_ = make(n.y);
  const auto fan_in = [](std::int64_t width) { return 1.0f / std::sqrt(static_cast<float>(width)); };
  fill_normal(system, x_.data(), n.x, 1.0f, seed, kInput);
  fill_normal(system, up_weights_.data(), n.up_weights, fan_in(shape.hidden), seed, kUpWeights);
  fill_normal(system, down_weights_.data(), n.down_weights, fan_in(shape.intermediate), seed, kDownWeights);
}

LayerRun::LayerRun(ExpertLayer& layer, const Dispatch& dispatch, const std::string& backend)
    : layer_(layer),
      dispatch_(dispatch),
      backend_(backend),
      offsets_(dispatch.offsets.to_host()),
      by_token_(rows_by_token(layer.system(), dispatch, layer.shape().tokens)) {
  const LayerShape& s = layer.shape();
  up_gemm_ =
      make_grouped_gemm(layer.system(), backend, {s.experts, 2 * s.intermediate, s.hidden}, offsets_,
                        {layer.gathered_.data(), layer.up_weights_.data(), layer.up_.data(), dispatch.offsets.data()});
  down_gemm_ = make_grouped_gemm(
      layer.system(), backend, {s.experts, s.hidden, s.intermediate}, offsets_,
      {layer.activated_.data(), layer.down_weights_.data(), layer.down_.data(), dispatch.offsets.data()});
}

void LayerRun::gather() {
  gather_rows(layer_.system_, layer_.x_.data(), dispatch_, layer_.shape_.hidden, layer_.gathered_.data());
}
void LayerRun::up() { up_gemm_->run(); }
void LayerRun::activate() {
  swiglu(layer_.system_, layer_.up_.data(), dispatch_.rows, layer_.shape_.intermediate, layer_.activated_.data());
}
void LayerRun::down() { down_gemm_->run(); }
void LayerRun::combine() {
  combine_rows(layer_.system_, layer_.down_.data(), dispatch_, by_token_, layer_.shape_.tokens, layer_.shape_.hidden,
               layer_.y_.data());
}

void LayerRun::run() {
  gather();
  up();
  activate();
  down();
  combine();
}

const void* LayerRun::output() const { return layer_.y_.data(); }
std::int64_t LayerRun::output_count() const { return layer_.shape_.tokens * layer_.shape_.hidden; }

void LayerRun::verify() {
  const LayerShape& s = layer_.shape_;
  const std::int64_t rows = dispatch_.rows;
  poison(layer_.system_, layer_.gathered_.data(), rows * s.hidden);
  poison(layer_.system_, layer_.up_.data(), rows * 2 * s.intermediate);
  poison(layer_.system_, layer_.activated_.data(), rows * s.intermediate);
  poison(layer_.system_, layer_.down_.data(), rows * s.hidden);
  poison(layer_.system_, layer_.y_.data(), s.tokens * s.hidden);
  run();
  check_finite("gather", layer_.gathered_.data(), rows * s.hidden);
  check_finite("up-projection", layer_.up_.data(), rows * 2 * s.intermediate);
  check_finite("SwiGLU", layer_.activated_.data(), rows * s.intermediate);
  check_finite("down-projection", layer_.down_.data(), rows * s.hidden);
  check_finite("combine", layer_.y_.data(), s.tokens * s.hidden);
  if (rows > 0) {
    verify_gemm("up-projection", layer_.gathered_.data(), layer_.up_weights_, layer_.up_.data(),
                {s.experts, 2 * s.intermediate, s.hidden});
    verify_activation();
    verify_gemm("down-projection", layer_.activated_.data(), layer_.down_weights_, layer_.down_.data(),
                {s.experts, s.hidden, s.intermediate});
  }
  verify_combine();
}

void LayerRun::check_finite(const char* stage, const void* data, std::int64_t count) {
  const std::int64_t bad = count_not_finite(layer_.system_, data, count);
  if (bad == 0) return;
  throw VerificationError(
      fmt::format("{}: {}: {} of {} elements were not written or are not finite", backend_, stage, bad, count));
}

namespace {

void demand(const Comparison& comparison, const System& system, const std::string& backend, const char* stage) {
  if (comparison.error() <= tolerance(system)) return;
  throw VerificationError(fmt::format("{}: {}: relative error {:.2e} against fp64 on sampled elements, allowed {:.0e}",
                                      backend, stage, comparison.error(), tolerance(system)));
}

}  // namespace

void LayerRun::verify_gemm(const char* stage, const void* a, const Buffer<std::byte>& weights, const void* c,
                           const GroupedGemmShape& shape) {
  System& system = layer_.system_;
  Comparison comparison;
  for (const std::int64_t row : spread(dispatch_.rows, kSampledRows)) {
    const std::int64_t expert = std::upper_bound(offsets_.begin(), offsets_.end(), row) - offsets_.begin() - 1;
    const std::vector<float> input = elements_to_host(system, a, row * shape.k, shape.k);
    const std::vector<float> output = elements_to_host(system, c, row * shape.n, shape.n);
    for (const std::int64_t column : spread(shape.n, kSampledColumns)) {
      const std::vector<float> weight =
          elements_to_host(system, weights.data(), (expert * shape.n + column) * shape.k, shape.k);
      double sum = 0.0;
      for (std::size_t i = 0; i < weight.size(); ++i)
        sum += static_cast<double>(input[i]) * static_cast<double>(weight[i]);
      comparison.add(output[static_cast<std::size_t>(column)], sum);
    }
  }
  demand(comparison, system, backend_, stage);
}

void LayerRun::verify_activation() {
  System& system = layer_.system_;
  const std::int64_t width = layer_.shape_.intermediate;
  Comparison comparison;
  for (const std::int64_t row : spread(dispatch_.rows, kSampledRows)) {
    const std::vector<float> up = elements_to_host(system, layer_.up_.data(), row * 2 * width, 2 * width);
    const std::vector<float> h = elements_to_host(system, layer_.activated_.data(), row * width, width);
    for (std::size_t i = 0; i < h.size(); ++i) comparison.add(h[i], silu(up[i]) * up[i + h.size()]);
  }
  demand(comparison, system, backend_, "SwiGLU");
}

/// From the rows themselves, not from the list by token that combine uses.
void LayerRun::verify_combine() {
  System& system = layer_.system_;
  const std::int64_t width = layer_.shape_.hidden;
  const std::vector<std::int32_t> token_of = dispatch_.token.to_host();
  const std::vector<float> gates = dispatch_.gate.to_host();
  Comparison gathered, combined;
  for (const std::int64_t token : spread(layer_.shape_.tokens, kSampledRows)) {
    const std::vector<float> x = elements_to_host(system, layer_.x_.data(), token * width, width);
    const std::vector<float> y = elements_to_host(system, layer_.y_.data(), token * width, width);
    std::vector<double> sum(y.size(), 0.0);
    for (std::size_t row = 0; row < token_of.size(); ++row) {
      if (token_of[row] != token) continue;
      const std::vector<float> in =
          elements_to_host(system, layer_.gathered_.data(), static_cast<std::int64_t>(row) * width, width);
      const std::vector<float> out =
          elements_to_host(system, layer_.down_.data(), static_cast<std::int64_t>(row) * width, width);
      for (std::size_t i = 0; i < sum.size(); ++i) {
        gathered.add(in[i], x[i]);
        sum[i] += static_cast<double>(gates[row]) * out[i];
      }
    }
    for (std::size_t i = 0; i < sum.size(); ++i) combined.add(y[i], sum[i]);
  }
  demand(gathered, system, backend_, "gather");
  demand(combined, system, backend_, "combine");
}

UniformYardstick::UniformYardstick(ExpertLayer& layer, const Dispatch& dispatch) {
  const LayerShape& s = layer.shape();
  const std::vector<std::int32_t> offsets = dispatch.offsets.to_host();
  up_gemm_ =
      make_grouped_gemm(layer.system(), "cublas_uniform", {s.experts, 2 * s.intermediate, s.hidden}, offsets,
                        {layer.gathered_.data(), layer.up_weights_.data(), layer.up_.data(), dispatch.offsets.data()});
  down_gemm_ = make_grouped_gemm(
      layer.system(), "cublas_uniform", {s.experts, s.hidden, s.intermediate}, offsets,
      {layer.activated_.data(), layer.down_weights_.data(), layer.down_.data(), dispatch.offsets.data()});
}

}  // namespace tatr
