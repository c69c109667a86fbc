// What verification looks at: which rows and columns of a pass's tensors, their values on the host, and how far they
// are off. What they should be is each stage's business.
#pragma once

#include <cstdint>
#include <vector>

#include "layer/expert_layer.hpp"

namespace tatr {

struct PassParts;

/// Relative error of sampled values against their reference, and the row (or token) that is furthest off.
class Comparison {
 public:
  void add(std::int64_t row, double value, double reference);
  double error() const;
  std::int64_t worst_row() const { return worst_row_; }

 private:
  double difference_ = 0.0, base_ = 0.0, worst_ = 0.0;
  std::int64_t worst_row_ = 0;
};

/// A row of an expert to compare, and in which columns.
struct RowSample {
  std::int64_t row, expert;
  std::vector<std::int64_t> columns;
};

/// `count` indices spread over [0, size), the first and the last among them; all where there are fewer.
std::vector<std::int64_t> spread(std::int64_t size, int count);

double silu(double x);

/// fp64 product, over the length of a.
double dot(const std::vector<float>& a, const std::vector<float>& b);

/// Reads a pass whose stages have run.
class PassSamples {
 public:
  explicit PassSamples(const PassParts& parts);

  /// Rows of the dispatch, to be compared whole.
  std::vector<std::int64_t> rows() const;
  /// Tokens, likewise.
  std::vector<std::int64_t> tokens() const;
  /// Rows spread over all, and the first and last of every expert: masks and tiles that are wrong spoil those first.
  /// Of each some of `width` columns.
  std::vector<RowSample> rows_by_expert(std::int64_t width) const;

  std::vector<float> row_of(const Tensor& tensor, std::int64_t row) const;
  /// x of the row's token; zeros for padding.
  std::vector<float> token_row(std::int64_t row) const;

  const std::vector<std::int32_t>& token_of_row() const { return token_of_row_; }  // [R]
  const std::vector<float>& gates() const { return gates_; }                       // [R]

 private:
  const PassParts& parts_;
  std::vector<std::int32_t> token_of_row_;
  std::vector<float> gates_;
};

}  // namespace tatr
