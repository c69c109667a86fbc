#include "gemm/reference/reference.hpp"

#include <algorithm>
#include <cmath>

namespace tatr {

namespace {

class ReferenceGemm final : public GroupedGemm {
 public:
  ReferenceGemm(int threads, const GroupedGemmProblem& problem, std::vector<std::int32_t> offsets,
                const GroupedGemmData& data)
      : threads_(threads), problem_(problem), offsets_(std::move(offsets)), data_(data) {}

  void run() override {
    for (std::int64_t e = 0; e < problem_.experts; ++e) {
      if (problem_.kind == GemmKind::kWeightGradient) {
        add_up(e);
      } else {
        multiply(e);
      }
    }
  }

  std::optional<std::int64_t> granule_rows() const override { return 1; }

 private:
  std::int64_t first_row(std::int64_t expert) const { return offsets_[static_cast<std::size_t>(expert)]; }

  /// Null: zeros.
  const float* row_of_a(std::int64_t row, std::int64_t width) const {
    const std::int64_t source = problem_.gather ? data_.token_index[row] : row;
    return source < 0 ? nullptr : static_cast<const float*>(data_.a) + source * width;
  }

  void multiply(std::int64_t expert) const {
    const float* weights = static_cast<const float*>(data_.w) + expert * problem_.n * problem_.k;
    const std::int64_t first = first_row(expert), last = first_row(expert + 1);
#pragma omp parallel for num_threads(threads_)
    for (std::int64_t row = first; row < last; ++row) {
      if (problem_.kind == GemmKind::kDataGradient) {
        go_back(row, weights);
      } else {
        go_forward(row, weights);
      }
    }
  }

  void go_forward(std::int64_t row, const float* weights) const {
    const std::int64_t columns = problem_.swiglu ? problem_.n / 2 : problem_.n;
    const float* a = row_of_a(row, problem_.k);
    float* c = static_cast<float*>(data_.c) + row * columns;
    float* kept = problem_.keep ? static_cast<float*>(data_.product) + row * problem_.n : nullptr;
    for (std::int64_t column = 0; column < columns; ++column) {
      const float product = dot(a, weights + column * problem_.k);
      if (!problem_.swiglu) {
        c[column] = product;
        continue;
      }
      const float other = dot(a, weights + (columns + column) * problem_.k);
      c[column] = product / (1.0f + std::exp(-product)) * other;
      if (kept == nullptr) continue;
      kept[column] = product;
      kept[columns + column] = other;
    }
  }

  void go_back(std::int64_t row, const float* weights) const {
    const float* a = row_of_a(row, problem_.k);
    std::vector<float> gradient(static_cast<std::size_t>(problem_.n), 0.0f);
    for (std::int64_t i = 0; a != nullptr && i < problem_.k; ++i) {
      for (std::int64_t column = 0; column < problem_.n; ++column) {
        gradient[static_cast<std::size_t>(column)] += a[i] * weights[i * problem_.n + column];
      }
    }
    if (problem_.swiglu_gradient) return through_swiglu(row, gradient);
    std::copy(gradient.begin(), gradient.end(), static_cast<float*>(data_.c) + row * problem_.n);
  }

  void through_swiglu(std::int64_t row, const std::vector<float>& gradient) const {
    const std::int64_t n = problem_.n;
    const float *a = static_cast<const float*>(data_.product) + row * 2 * n, *b = a + n;
    float *da = static_cast<float*>(data_.c) + row * 2 * n, *db = da + n;
    float* weighted = static_cast<float*>(data_.weighted) + row * n;
    const float gate = data_.gate[row];
    float sum = 0.0f;
    for (std::int64_t i = 0; i < n; ++i) {
      const float own = gradient[static_cast<std::size_t>(i)], share = sigmoid(a[i]), silu = a[i] * share;
      sum += own * (silu * b[i]);
      weighted[i] = gate * (silu * b[i]);
      da[i] = gate * own * b[i] * (share + silu * (1.0f - share));
      db[i] = gate * own * silu;
    }
    data_.gate_gradient[row] = sum;
  }

  /// The weight gradient of one expert, row after row of it.
  void add_up(std::int64_t expert) const {
    const std::int64_t n = problem_.n, k = problem_.k, first = first_row(expert), last = first_row(expert + 1);
    const std::int64_t height = problem_.transpose ? k : n, width = problem_.transpose ? n : k;
    float* c = static_cast<float*>(data_.c) + expert * n * k;
#pragma omp parallel for num_threads(threads_)
    for (std::int64_t i = 0; i < height; ++i) {
      std::fill_n(c + i * width, width, 0.0f);
      for (std::int64_t row = first; row < last; ++row) {
        const float *a = row_of_a(row, n), *w = static_cast<const float*>(data_.w) + row * k;
        if (a == nullptr) continue;
        const float *down = problem_.transpose ? w : a, *across = problem_.transpose ? a : w;
        for (std::int64_t j = 0; j < width; ++j) c[i * width + j] += down[i] * across[j];
      }
    }
  }

  static float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

  /// `a` null: zeros.
  float dot(const float* a, const float* b) const {
    float sum = 0.0f;
    for (std::int64_t i = 0; a != nullptr && i < problem_.k; ++i) sum += a[i] * b[i];
    return sum;
  }

  int threads_;
  GroupedGemmProblem problem_;
  std::vector<std::int32_t> offsets_;
  GroupedGemmData data_;
};

}  // namespace

std::string why_not_reference(const GroupedGemmProblem& problem, const DeviceInfo&) {
  if (problem.kind == GemmKind::kUniformRows) return "it multiplies each expert's own rows only";
  if (problem.dtype != DType::kFp32 || problem.gradient != DType::kFp32) return "it takes fp32";
  return {};
}

std::unique_ptr<GroupedGemm> make_reference_gemm(System& system, const GroupedGemmProblem& problem,
                                                 const std::vector<std::int32_t>& offsets,
                                                 const GroupedGemmData& data) {
  return std::make_unique<ReferenceGemm>(system.threads(), problem, offsets, data);
}

}  // namespace tatr
