#include "gemm/reference/reference.hpp"

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
      const float* weights = static_cast<const float*>(data_.w) + e * problem_.n * problem_.k;
      const std::int64_t first = offsets_[static_cast<std::size_t>(e)],
                         last = offsets_[static_cast<std::size_t>(e) + 1];
#pragma omp parallel for num_threads(threads_)
      for (std::int64_t row = first; row < last; ++row) multiply(row, weights);
    }
  }

  std::optional<std::int64_t> granule_rows() const override { return 1; }

 private:
  void multiply(std::int64_t row, const float* weights) const {
    const std::int64_t columns = problem_.swiglu ? problem_.n / 2 : problem_.n;
    const std::int64_t source = problem_.gather ? data_.token_index[row] : row;
    const float* a = source < 0 ? nullptr : static_cast<const float*>(data_.a) + source * problem_.k;
    float* c = static_cast<float*>(data_.c) + row * columns;
    for (std::int64_t column = 0; column < columns; ++column) {
      const float product = dot(a, weights + column * problem_.k);
      if (problem_.swiglu) {
        const float other = dot(a, weights + (columns + column) * problem_.k);
        c[column] = product / (1.0f + std::exp(-product)) * other;
      } else {
        c[column] = product;
      }
    }
  }

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
  if (problem.kind != GemmKind::kRaggedRows) return "it multiplies each expert's own rows only";
  if (problem.dtype != DType::kFp32) return "it takes fp32";
  return {};
}

std::unique_ptr<GroupedGemm> make_reference_gemm(System& system, const GroupedGemmProblem& problem,
                                                 const std::vector<std::int32_t>& offsets,
                                                 const GroupedGemmData& data) {
  return std::make_unique<ReferenceGemm>(system.threads(), problem, offsets, data);
}

}  // namespace tatr
