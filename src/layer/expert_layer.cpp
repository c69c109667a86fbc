#include "layer/expert_layer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "tensor/elementwise.hpp"

namespace tatr {

namespace {

/// Which tensor a random element belongs to.
enum Tensor : std::uint32_t { kInput = 0, kUpWeights = 1, kDownWeights = 2, kGathered = 3, kActivated = 4 };

constexpr int kSampledRows = 48, kSampledColumns = 32, kEdgeColumns = 8;

/// `count` indices spread over [0, size), the first and the last among them.
std::vector<std::int64_t> spread(std::int64_t size, int count) {
  std::vector<std::int64_t> indices;
  const std::int64_t most = std::min<std::int64_t>(count, size);
  for (std::int64_t i = 0; i < most; ++i) indices.push_back(most == 1 ? 0 : i * (size - 1) / (most - 1));
  return indices;
}

/// A row to compare, and in how many columns.
struct SampledRow {
  std::int64_t row;
  int columns;
};

/// Rows spread over all, and the first and last of every expert: masks and tiles that are wrong spoil those first.
std::vector<SampledRow> sampled_rows(const std::vector<std::int32_t>& offsets) {
  std::vector<SampledRow> rows;
  for (const std::int64_t row : spread(offsets.back(), kSampledRows)) rows.push_back({row, kSampledColumns});
  for (std::size_t e = 0; e + 1 < offsets.size(); ++e) {
    if (offsets[e] == offsets[e + 1]) continue;
    rows.push_back({offsets[e], kEdgeColumns});
    rows.push_back({offsets[e + 1] - 1, kEdgeColumns});
  }
  return rows;
}

/// Relative error of sampled values against their reference, and the row (or token) that is furthest off.
class Comparison {
 public:
  void add(std::int64_t row, double value, double reference) {
    const double squared = (value - reference) * (value - reference);
    difference_ += squared;
    base_ += reference * reference;
    if (squared > worst_) {
      worst_ = squared;
      worst_row_ = row;
    }
  }
  double error() const { return difference_ == 0.0 ? 0.0 : std::sqrt(difference_ / base_); }
  std::int64_t worst_row() const { return worst_row_; }

 private:
  double difference_ = 0.0, base_ = 0.0, worst_ = 0.0;
  std::int64_t worst_row_ = 0;
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
  // The uniform yardstick multiplies the workspace as it is: never zeros, never what was there before.
  fill_normal(system, gathered_.data(), n.gathered, 1.0f, seed, kGathered);
  fill_normal(system, activated_.data(), n.activated, 1.0f, seed, kActivated);
  fill_normal(system, down_weights_.data(), n.down_weights, fan_in(shape.intermediate), seed, kDownWeights);
}

LayerRun::LayerRun(ExpertLayer& layer, const Dispatch& dispatch, const LayerOptions& options)
    : layer_(layer),
      dispatch_(dispatch),
      options_(options),
      offsets_(dispatch.offsets.to_host()),
      by_token_(rows_by_token(layer.system(), dispatch, layer.shape().tokens)) {
  const LayerShape& s = layer.shape();
  if (options_.backend == "auto") options_.backend = default_backend(layer.system());
  fuses_gather_ = options.fuse_gather && can_fuse(options_.backend);
  fuses_swiglu_ = options.fuse_swiglu && can_fuse(options_.backend);
  GroupedGemmShape up{s.experts,
                      2 * s.intermediate,
                      s.hidden,
                      options.tile_rows,
                      s.most_rows,
                      options.tile_of_expert,
                      options.launch_per_tile};
  GroupedGemmShape down = up;
  down.n = s.hidden;
  down.k = s.intermediate;
  up_gemm_ = make_grouped_gemm(layer.system(), options_.backend, up, offsets_,
                               {fuses_gather_ ? layer.x_.data() : layer.gathered_.data(), layer.up_weights_.data(),
                                fuses_swiglu_ ? layer.activated_.data() : layer.up_.data(), dispatch.offsets.data(),
                                fuses_gather_ ? dispatch.token.data() : nullptr, fuses_swiglu_});
  down_gemm_ = make_grouped_gemm(
      layer.system(), options_.backend, down, offsets_,
      {layer.activated_.data(), layer.down_weights_.data(), layer.down_.data(), dispatch.offsets.data()});
}

void LayerRun::tune() {
  up_gemm_->tune();
  down_gemm_->tune();
}

void LayerRun::gather() {
  if (fuses_gather_) return;
  gather_rows(layer_.system_, layer_.x_.data(), dispatch_, layer_.shape_.hidden, layer_.gathered_.data());
}
void LayerRun::up() { up_gemm_->run(); }
void LayerRun::activate() {
  if (fuses_swiglu_) return;
  swiglu(layer_.system_, layer_.up_.data(), dispatch_.rows, layer_.shape_.intermediate, layer_.activated_.data());
}
void LayerRun::down() { down_gemm_->run(); }
void LayerRun::combine() { combine_with(dispatch_.gate); }
void LayerRun::combine_with(const Buffer<float>& gates) {
  combine_rows(layer_.system_, layer_.down_.data(), gates.data(), by_token_, layer_.shape_.tokens, layer_.shape_.hidden,
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

std::vector<LayerRun::Output> LayerRun::outputs() const {
  const LayerShape& s = layer_.shape_;
  const std::int64_t rows = dispatch_.rows;
  std::vector<Output> outputs;
  if (!fuses_gather_) outputs.push_back({"gather", layer_.gathered_.data(), rows * s.hidden});
  if (!fuses_swiglu_) outputs.push_back({"up-projection", layer_.up_.data(), rows * 2 * s.intermediate});
  outputs.push_back({"SwiGLU", layer_.activated_.data(), rows * s.intermediate});
  outputs.push_back({"down-projection", layer_.down_.data(), rows * s.hidden});
  outputs.push_back({"combine", layer_.y_.data(), s.tokens * s.hidden});
  return outputs;
}

void LayerRun::poison_outputs() {
  for (const Output& output : outputs()) poison(layer_.system_, output.data, output.count);
}

void LayerRun::verify() {
  poison_outputs();
  run();
  for (const Output& output : outputs()) check_finite(output);  // in order: the first that is wrong is named
  if (dispatch_.rows > 0) {
    if (!fuses_gather_) verify_gather();
    verify_up();
    if (!fuses_swiglu_) verify_activation();
    verify_down();
  }
  verify_combine();
}

void LayerRun::check_finite(const Output& output) {
  const std::int64_t bad = count_not_finite(layer_.system_, output.data, output.count);
  if (bad == 0) return;
  throw VerificationError(fmt::format("{}: {}: {} of {} elements were not written or are not finite", options_.backend,
                                      output.stage, bad, output.count));
}

namespace {

void demand(const Comparison& comparison, const System& system, const std::string& backend, const char* stage) {
  if (comparison.error() <= tolerance(system)) return;
  throw VerificationError(
      fmt::format("{}: {}: relative error {:.2e} against fp64 on sampled elements, allowed {:.0e}; worst in row {}",
                  backend, stage, comparison.error(), tolerance(system), comparison.worst_row()));
}

std::int64_t expert_of(const std::vector<std::int32_t>& offsets, std::int64_t row) {
  return std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin() - 1;
}

/// fp64 product of `input` with row `row` of weights [.., input.size()].
double dot(System& system, const std::vector<float>& input, const void* weights, std::int64_t row) {
  const auto width = static_cast<std::int64_t>(input.size());
  const std::vector<float> weight = elements_to_host(system, weights, row * width, width);
  double sum = 0.0;
  for (std::size_t i = 0; i < input.size(); ++i) sum += static_cast<double>(input[i]) * static_cast<double>(weight[i]);
  return sum;
}

}  // namespace

/// A fused up-projection is compared with what its three stages would give from x itself.
void LayerRun::verify_up() {
  System& system = layer_.system_;
  const LayerShape& s = layer_.shape_;
  const std::int64_t width = fuses_swiglu_ ? s.intermediate : 2 * s.intermediate;
  const std::vector<std::int32_t> token_of = dispatch_.token.to_host();
  Comparison comparison;
  for (const auto& [row, columns] : sampled_rows(offsets_)) {
    const std::int64_t token = token_of[static_cast<std::size_t>(row)];
    std::vector<float> input(static_cast<std::size_t>(s.hidden), 0.0f);
    if (!fuses_gather_) input = elements_to_host(system, layer_.gathered_.data(), row * s.hidden, s.hidden);
    if (fuses_gather_ && token >= 0) input = elements_to_host(system, layer_.x_.data(), token * s.hidden, s.hidden);
    const void* output_data = fuses_swiglu_ ? layer_.activated_.data() : layer_.up_.data();
    const std::vector<float> output = elements_to_host(system, output_data, row * width, width);
    const std::int64_t first = expert_of(offsets_, row) * 2 * s.intermediate;
    for (const std::int64_t column : spread(width, columns)) {
      double expected = dot(system, input, layer_.up_weights_.data(), first + column);
      if (fuses_swiglu_)
        expected = silu(expected) * dot(system, input, layer_.up_weights_.data(), first + width + column);
      comparison.add(row, output[static_cast<std::size_t>(column)], expected);
    }
  }
  demand(comparison, system, options_.backend, "up-projection");
}

void LayerRun::verify_down() {
  System& system = layer_.system_;
  const LayerShape& s = layer_.shape_;
  Comparison comparison;
  for (const auto& [row, columns] : sampled_rows(offsets_)) {
    const std::vector<float> input =
        elements_to_host(system, layer_.activated_.data(), row * s.intermediate, s.intermediate);
    const std::vector<float> output = elements_to_host(system, layer_.down_.data(), row * s.hidden, s.hidden);
    const std::int64_t first = expert_of(offsets_, row) * s.hidden;
    for (const std::int64_t column : spread(s.hidden, columns)) {
      comparison.add(row, output[static_cast<std::size_t>(column)],
                     dot(system, input, layer_.down_weights_.data(), first + column));
    }
  }
  demand(comparison, system, options_.backend, "down-projection");
}

void LayerRun::verify_activation() {
  System& system = layer_.system_;
  const std::int64_t width = layer_.shape_.intermediate;
  Comparison comparison;
  for (const std::int64_t row : spread(dispatch_.rows, kSampledRows)) {
    const std::vector<float> up = elements_to_host(system, layer_.up_.data(), row * 2 * width, 2 * width);
    const std::vector<float> h = elements_to_host(system, layer_.activated_.data(), row * width, width);
    for (std::size_t i = 0; i < h.size(); ++i) comparison.add(row, h[i], silu(up[i]) * up[i + h.size()]);
  }
  demand(comparison, system, options_.backend, "SwiGLU");
}

void LayerRun::verify_gather() {
  System& system = layer_.system_;
  const std::int64_t width = layer_.shape_.hidden;
  const std::vector<std::int32_t> token_of = dispatch_.token.to_host();
  Comparison comparison;
  for (const std::int64_t row : spread(dispatch_.rows, kSampledRows)) {
    const std::int64_t token = token_of[static_cast<std::size_t>(row)];
    std::vector<float> x(static_cast<std::size_t>(width), 0.0f);
    if (token >= 0) x = elements_to_host(system, layer_.x_.data(), token * width, width);
    const std::vector<float> gathered = elements_to_host(system, layer_.gathered_.data(), row * width, width);
    for (std::size_t i = 0; i < x.size(); ++i) comparison.add(row, gathered[i], x[i]);
  }
  demand(comparison, system, options_.backend, "gather");
}

/// From the rows themselves, not from the list by token that combine uses.
void LayerRun::verify_combine() {
  System& system = layer_.system_;
  const std::int64_t width = layer_.shape_.hidden;
  const std::vector<std::int32_t> token_of = dispatch_.token.to_host();
  const std::vector<float> gates = dispatch_.gate.to_host();
  Comparison comparison;
  for (const std::int64_t token : spread(layer_.shape_.tokens, kSampledRows)) {
    const std::vector<float> y = elements_to_host(system, layer_.y_.data(), token * width, width);
    std::vector<double> sum(y.size(), 0.0);
    for (std::size_t row = 0; row < token_of.size(); ++row) {
      if (token_of[row] != token) continue;
      const std::vector<float> out =
          elements_to_host(system, layer_.down_.data(), static_cast<std::int64_t>(row) * width, width);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(gates[row]) * out[i];
    }
    for (std::size_t i = 0; i < sum.size(); ++i) comparison.add(token, y[i], sum[i]);
  }
  demand(comparison, system, options_.backend, "combine");
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
