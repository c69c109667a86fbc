#include "layer/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

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
double tolerance(DType dtype) { return dtype == DType::kBf16 ? 5e-3 : 1e-5; }

double silu(double x) { return x / (1.0 + std::exp(-x)); }

std::int64_t expert_of(const std::vector<std::int32_t>& offsets, std::int64_t row) {
  return std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin() - 1;
}

/// Looks at one pass, whose stages have run.
class Verifier {
 public:
  explicit Verifier(const ForwardPass& pass)
      : pass_(pass),
        layer_(pass.layer()),
        token_of_(pass.dispatch().token.to_host()),
        gates_(pass.dispatch().gate.to_host()) {}

  void check(const PassStage& stage) const {
    check_finite(stage);
    if (pass_.dispatch().rows == 0 && stage.stage != Stage::kCombine) return;
    switch (stage.stage) {
      case Stage::kGather:
        return demand(stage, gather());
      case Stage::kUp:
        return demand(stage, up());
      case Stage::kActivation:
        return demand(stage, activation());
      case Stage::kDown:
        return demand(stage, down());
      case Stage::kCombine:
        return demand(stage, combine());
    }
  }

 private:
  void check_finite(const PassStage& stage) const {
    const std::int64_t bad = count_not_finite(layer_.system, stage.output);
    if (bad == 0) return;
    throw VerificationError(fmt::format("{}: {}: {} of {} elements were not written or are not finite", pass_.backend(),
                                        info_of(stage.stage).name, bad, stage.output.count()));
  }

  void demand(const PassStage& stage, const Comparison& comparison) const {
    const double allowed = tolerance(layer_.dtype);
    if (comparison.error() <= allowed) return;
    throw VerificationError(
        fmt::format("{}: {}: relative error {:.2e} against fp64 on sampled elements, allowed {:.0e}; worst in row {}",
                    pass_.backend(), info_of(stage.stage).name, comparison.error(), allowed, comparison.worst_row()));
  }

  std::vector<float> row_of(const Tensor& tensor, std::int64_t row) const {
    const std::int64_t width = tensor.view().width();
    return to_host(layer_.system, tensor.view(), row * width, width);
  }

  /// x of the row's token; zeros for padding.
  std::vector<float> token_row(std::int64_t row) const {
    const std::int64_t token = token_of_[static_cast<std::size_t>(row)];
    if (token >= 0) return row_of(layer_.x, token);
    return std::vector<float>(static_cast<std::size_t>(layer_.shape.hidden), 0.0f);
  }

  /// fp64 product of `input` with row `row` of weights [.., input.size()].
  double dot(const std::vector<float>& input, const Tensor& weights, std::int64_t row) const {
    const std::vector<float> weight = row_of(weights, row);
    double sum = 0.0;
    for (std::size_t i = 0; i < input.size(); ++i)
      sum += static_cast<double>(input[i]) * static_cast<double>(weight[i]);
    return sum;
  }

  Comparison gather() const {
    Comparison comparison;
    for (const std::int64_t row : spread(pass_.dispatch().rows, kSampledRows)) {
      const std::vector<float> x = token_row(row), gathered = row_of(layer_.gathered, row);
      for (std::size_t i = 0; i < x.size(); ++i) comparison.add(row, gathered[i], x[i]);
    }
    return comparison;
  }

  /// A fused up-projection is compared with what its three stages would give from x itself.
  Comparison up() const {
    const bool swiglu = pass_.fuses_swiglu();
    const std::int64_t half = layer_.shape.intermediate, width = swiglu ? half : 2 * half;
    Comparison comparison;
    for (const auto& [row, columns] : sampled_rows(pass_.offsets())) {
      const std::vector<float> input = pass_.fuses_gather() ? token_row(row) : row_of(layer_.gathered, row);
      const std::vector<float> output = row_of(swiglu ? layer_.activated : layer_.up, row);
      const std::int64_t first = expert_of(pass_.offsets(), row) * 2 * half;
      for (const std::int64_t column : spread(width, columns)) {
        double expected = dot(input, layer_.up_weights, first + column);
        if (swiglu) expected = silu(expected) * dot(input, layer_.up_weights, first + half + column);
        comparison.add(row, output[static_cast<std::size_t>(column)], expected);
      }
    }
    return comparison;
  }

  Comparison activation() const {
    Comparison comparison;
    for (const std::int64_t row : spread(pass_.dispatch().rows, kSampledRows)) {
      const std::vector<float> up = row_of(layer_.up, row), h = row_of(layer_.activated, row);
      for (std::size_t i = 0; i < h.size(); ++i) comparison.add(row, h[i], silu(up[i]) * up[i + h.size()]);
    }
    return comparison;
  }

  Comparison down() const {
    const std::int64_t width = layer_.shape.hidden;
    Comparison comparison;
    for (const auto& [row, columns] : sampled_rows(pass_.offsets())) {
      const std::vector<float> input = row_of(layer_.activated, row), output = row_of(layer_.down, row);
      const std::int64_t first = expert_of(pass_.offsets(), row) * width;
      for (const std::int64_t column : spread(width, columns)) {
        comparison.add(row, output[static_cast<std::size_t>(column)], dot(input, layer_.down_weights, first + column));
      }
    }
    return comparison;
  }

  /// From the rows themselves, not from the list by token that combine uses.
  Comparison combine() const {
    Comparison comparison;
    for (const std::int64_t token : spread(layer_.shape.tokens, kSampledRows)) {
      const std::vector<float> y = row_of(layer_.y, token);
      std::vector<double> sum(y.size(), 0.0);
      for (std::size_t row = 0; row < token_of_.size(); ++row) {
        if (token_of_[row] != token) continue;
        const std::vector<float> out = row_of(layer_.down, static_cast<std::int64_t>(row));
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(gates_[row]) * out[i];
      }
      for (std::size_t i = 0; i < sum.size(); ++i) comparison.add(token, y[i], sum[i]);
    }
    return comparison;
  }

  const ForwardPass& pass_;
  ExpertLayer& layer_;
  std::vector<std::int32_t> token_of_;
  std::vector<float> gates_;
};

}  // namespace

void verify(ForwardPass& pass) {
  pass.poison_outputs();
  for (const PassStage& stage : pass.stages()) {
    try {
      stage.run();
      pass.layer().system.synchronize();
    } catch (const DeviceTimeoutError& error) {
      throw DeviceTimeoutError(fmt::format("{}: {}: {}", pass.backend(), info_of(stage.stage).name, error.what()));
    }
  }
  const Verifier verifier(pass);
  for (const PassStage& stage : pass.stages()) verifier.check(stage);  // in order: the first that is wrong is named
}

}  // namespace tatr
