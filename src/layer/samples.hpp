// What verification looks at: which rows and columns of a pass's tensors, their values on the host, and how far they
// are off. What they should be is each stage's business.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "layer/expert_layer.hpp"

namespace tatr {

struct PassParts;

/// Relative error of sampled values against their reference, and the row (or what else `of` says) that is furthest off.
class StageComparison {
 public:
  explicit StageComparison(std::string_view of = "row") : of_(of) {}
  void add(std::int64_t row, double value, double reference);
  double error() const;
  std::int64_t worst_row() const { return worst_row_; }
  std::string_view of() const { return of_; }

 private:
  std::string_view of_;
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

/// One element of what SwiGLU gave, gate · silu(a) b, and of the gradients of a and b, where `gradient` is that of
/// silu(a) b.
struct SwigluGradient {
  double weighted, a, b;
};
SwigluGradient swiglu_gradient_at(double a, double b, double gate, double gradient);

/// fp64 product, over the length of a.
double dot(const std::vector<float>& a, const std::vector<float>& b);

/// Reads a pass whose stages have run.
class PassSamples {
 public:
  explicit PassSamples(const PassParts& parts);

  /// Rows of the dispatch, to be compared whole; fewer where that takes long.
  std::vector<std::int64_t> rows() const;
  std::vector<std::int64_t> rows(int count) const;
  /// Tokens, likewise.
  std::vector<std::int64_t> tokens() const;
  /// Rows spread over all, and the first and last of every expert: masks and tiles that are wrong spoil those first.
  /// Of each some of `width` columns.
  std::vector<RowSample> rows_by_expert(std::int64_t width) const;

  std::vector<float> row_of(const Tensor& tensor, std::int64_t row) const;
  /// x, or another tensor by token, of the row's token; zeros for padding.
  std::vector<float> token_row(std::int64_t row) const;
  std::vector<float> token_row(const Tensor& tensor, std::int64_t row) const;
  float gate_gradient(std::int64_t row) const;
  /// Of an expert's matrix, in a tensor [E, height, width], some columns, each whole; or all of it.
  std::vector<std::vector<float>> columns_of(const Tensor& tensor, std::int64_t expert,
                                             const std::vector<std::int64_t>& columns) const;
  std::vector<float> matrix_of(const Tensor& tensor, std::int64_t expert) const;

  /// Some columns of an expert's rows, [rows, columns]; of a tensor by token, those of the rows' tokens.
  std::vector<float> columns_of_rows(const Tensor& tensor, std::int64_t expert, bool by_token,
                                     const std::vector<std::int64_t>& columns) const;
  /// Some elements of an expert's matrix, [rows, columns].
  std::vector<float> elements_of(const Tensor& tensor, std::int64_t expert, const std::vector<std::int64_t>& rows,
                                 const std::vector<std::int64_t>& columns) const;
  /// Of `width` columns the first, the last, and some between that are others for each expert.
  static std::vector<std::int64_t> columns_of_expert(std::int64_t width, std::int64_t expert);

  std::int64_t expert_of(std::int64_t row) const;
  const std::vector<std::int32_t>& token_of_row() const { return token_of_row_; }  // [R]
  const std::vector<float>& gates() const { return gates_; }                       // [R]

 private:
  const PassParts& parts_;
  std::vector<std::int32_t> token_of_row_;
  std::vector<float> gates_;
};

}  // namespace tatr
