#include "layer/samples.hpp"

#include <algorithm>
#include <cmath>

#include "layer/pass_stage.hpp"
#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

constexpr int kSampledRows = 48, kSampledColumns = 32, kEdgeColumns = 8;

std::int64_t expert_of(const std::vector<std::int32_t>& offsets, std::int64_t row) {
  return std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin() - 1;
}

}  // namespace

void Comparison::add(std::int64_t row, double value, double reference) {
  const double squared = (value - reference) * (value - reference);
  difference_ += squared;
  base_ += reference * reference;
  if (squared > worst_) {
    worst_ = squared;
    worst_row_ = row;
  }
}

double Comparison::error() const { return difference_ == 0.0 ? 0.0 : std::sqrt(difference_ / base_); }

std::vector<std::int64_t> spread(std::int64_t size, int count) {
  std::vector<std::int64_t> indices;
  const std::int64_t most = std::min<std::int64_t>(count, size);
  for (std::int64_t i = 0; i < most; ++i) indices.push_back(most == 1 ? 0 : i * (size - 1) / (most - 1));
  return indices;
}

double silu(double x) { return x / (1.0 + std::exp(-x)); }

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

PassSamples::PassSamples(const PassParts& parts)
    : parts_(parts), token_of_row_(parts.dispatch.token.to_host()), gates_(parts.dispatch.gate.to_host()) {}

std::vector<std::int64_t> PassSamples::rows() const { return spread(parts_.dispatch.rows, kSampledRows); }

std::vector<std::int64_t> PassSamples::tokens() const { return spread(parts_.layer.shape.tokens, kSampledRows); }

std::vector<RowSample> PassSamples::rows_by_expert(std::int64_t width) const {
  const std::vector<std::int32_t>& offsets = parts_.offsets;
  std::vector<RowSample> samples;
  const auto add = [&](std::int64_t row, int columns) {
    samples.push_back({row, expert_of(offsets, row), spread(width, columns)});
  };
  for (const std::int64_t row : spread(offsets.back(), kSampledRows)) add(row, kSampledColumns);
  for (std::size_t e = 0; e + 1 < offsets.size(); ++e) {
    if (offsets[e] == offsets[e + 1]) continue;
    add(offsets[e], kEdgeColumns);
    add(offsets[e + 1] - 1, kEdgeColumns);
  }
  return samples;
}

std::vector<float> PassSamples::row_of(const Tensor& tensor, std::int64_t row) const {
  const std::int64_t width = tensor.view().width();
  return to_host(parts_.layer.system, tensor.view(), row * width, width);
}

std::vector<float> PassSamples::token_row(std::int64_t row) const {
  const std::int64_t token = token_of_row_[static_cast<std::size_t>(row)];
  if (token >= 0) return row_of(parts_.layer.x, token);
  return std::vector<float>(static_cast<std::size_t>(parts_.layer.shape.hidden), 0.0f);
}

}  // namespace tatr
