#include "layer/samples.hpp"

#include <algorithm>
#include <cmath>

#include "layer/pass_stage.hpp"
#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

constexpr int kSampledRows = 48, kSampledColumns = 32, kEdgeColumns = 8, kWeightColumns = 12;

}  // namespace

void StageComparison::add(std::int64_t row, double value, double reference) {
  const double squared = (value - reference) * (value - reference);
  difference_ += squared;
  base_ += reference * reference;
  if (squared > worst_) {
    worst_ = squared;
    worst_row_ = row;
  }
}

double StageComparison::error() const { return difference_ == 0.0 ? 0.0 : std::sqrt(difference_ / base_); }

std::vector<std::int64_t> spread(std::int64_t size, int count) {
  std::vector<std::int64_t> indices;
  const std::int64_t most = std::min<std::int64_t>(count, size);
  for (std::int64_t i = 0; i < most; ++i) indices.push_back(most == 1 ? 0 : i * (size - 1) / (most - 1));
  return indices;
}

double silu(double x) { return x / (1.0 + std::exp(-x)); }

SwigluGradient swiglu_gradient_at(double a, double b, double gate, double gradient) {
  const double share = 1.0 / (1.0 + std::exp(-a)), activated = a * share;
  return {gate * activated * b, gate * gradient * b * share * (1.0 + a * (1.0 - share)), gate * gradient * activated};
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

PassSamples::PassSamples(const PassParts& parts)
    : parts_(parts), token_of_row_(parts.dispatch.token.to_host()), gates_(parts.dispatch.gate.to_host()) {}

std::vector<std::int64_t> PassSamples::rows() const { return rows(kSampledRows); }

std::vector<std::int64_t> PassSamples::rows(int count) const { return spread(parts_.dispatch.rows, count); }

std::vector<std::int64_t> PassSamples::tokens() const { return spread(parts_.layer.shape.tokens, kSampledRows); }

std::vector<RowSample> PassSamples::rows_by_expert(std::int64_t width) const {
  const std::vector<std::int32_t>& offsets = parts_.offsets;
  std::vector<RowSample> samples;
  const auto add = [&](std::int64_t row, int columns) {
    samples.push_back({row, expert_of(row), spread(width, columns)});
  };
  for (const std::int64_t row : spread(offsets.back(), kSampledRows)) add(row, kSampledColumns);
  for (std::size_t e = 0; e + 1 < offsets.size(); ++e) {
    if (offsets[e] == offsets[e + 1]) continue;
    add(offsets[e], kEdgeColumns);
    add(offsets[e + 1] - 1, kEdgeColumns);
  }
  return samples;
}

std::int64_t PassSamples::expert_of(std::int64_t row) const {
  return std::upper_bound(parts_.offsets.begin(), parts_.offsets.end(), row) - parts_.offsets.begin() - 1;
}

float PassSamples::gate_gradient(std::int64_t row) const {
  return to_host(parts_.layer.system, parts_.layer.d_gate.view(), row, 1).front();
}

std::vector<float> PassSamples::row_of(const Tensor& tensor, std::int64_t row) const {
  const std::int64_t width = tensor.view().width();
  return to_host(parts_.layer.system, tensor.view(), row * width, width);
}

std::vector<float> PassSamples::token_row(std::int64_t row) const { return token_row(parts_.layer.x, row); }

std::vector<float> PassSamples::token_row(const Tensor& tensor, std::int64_t row) const {
  const std::int64_t token = token_of_row_[static_cast<std::size_t>(row)];
  if (token >= 0) return row_of(tensor, token);
  return std::vector<float>(static_cast<std::size_t>(tensor.view().width()), 0.0f);
}

std::vector<std::vector<float>> PassSamples::columns_of(const Tensor& tensor, std::int64_t expert,
                                                        const std::vector<std::int64_t>& columns) const {
  const std::int64_t height = tensor.view().shape[1], width = tensor.view().width();
  std::vector<std::int64_t> elements;
  for (const std::int64_t column : columns) {
    for (std::int64_t i = 0; i < height; ++i) elements.push_back((expert * height + i) * width + column);
  }
  const std::vector<float> values = to_host_at(parts_.layer.system, tensor.view(), elements);
  std::vector<std::vector<float>> found;
  for (auto first = values.begin(); first != values.end(); first += height) found.emplace_back(first, first + height);
  return found;
}

std::vector<float> PassSamples::matrix_of(const Tensor& tensor, std::int64_t expert) const {
  const std::int64_t count = tensor.view().shape[1] * tensor.view().width();
  return to_host(parts_.layer.system, tensor.view(), expert * count, count);
}

std::vector<float> PassSamples::columns_of_rows(const Tensor& tensor, std::int64_t expert, bool by_token,
                                                const std::vector<std::int64_t>& columns) const {
  const auto e = static_cast<std::size_t>(expert);
  const std::int64_t width = tensor.view().width();
  std::vector<std::int64_t> elements;
  for (std::int64_t row = parts_.offsets[e]; row < parts_.offsets[e + 1]; ++row) {
    const std::int64_t from = by_token ? token_of_row_[static_cast<std::size_t>(row)] : row;
    for (const std::int64_t column : columns) elements.push_back(from < 0 ? -1 : from * width + column);
  }
  return to_host_at(parts_.layer.system, tensor.view(), elements);
}

std::vector<float> PassSamples::elements_of(const Tensor& tensor, std::int64_t expert,
                                            const std::vector<std::int64_t>& rows,
                                            const std::vector<std::int64_t>& columns) const {
  const std::int64_t height = tensor.view().shape[1], width = tensor.view().width();
  std::vector<std::int64_t> elements;
  for (const std::int64_t row : rows) {
    for (const std::int64_t column : columns) elements.push_back((expert * height + row) * width + column);
  }
  return to_host_at(parts_.layer.system, tensor.view(), elements);
}

std::vector<std::int64_t> PassSamples::columns_of_expert(std::int64_t width, std::int64_t expert) {
  std::vector<std::int64_t> columns = spread(width, kWeightColumns);
  const std::int64_t step = std::max<std::int64_t>(1, width / kWeightColumns);
  for (std::size_t i = 1; i + 1 < columns.size(); ++i)
    columns[i] = std::min(columns[i] + expert * 37 % step, width - 1);
  return columns;
}

}  // namespace tatr
