#include "gemm/openblas/openblas.hpp"

#include <cblas.h>

#include <algorithm>

namespace tatr {

namespace {

/// Rows of a weight gradient that are multiplied at once. Within so few every kernel of the library adds row after row,
/// so rows of zeros behind an expert's own change no bit, which its way of cutting long sums would not promise.
constexpr std::int64_t kRowsAtOnce = 128;

class OpenBlasGemm final : public GroupedGemm {
 public:
  OpenBlasGemm(int threads, const GroupedGemmProblem& shape, std::vector<std::int32_t> offsets,
               const GroupedGemmData& data)
      : threads_(threads), shape_(shape), offsets_(std::move(offsets)), data_(data) {}

  void run() override {
    openblas_set_num_threads(threads_);
    for (std::int64_t e = 0; e < shape_.experts; ++e) {
      const std::int64_t first = offsets_[static_cast<std::size_t>(e)];
      const std::int64_t rows = offsets_[static_cast<std::size_t>(e) + 1] - first;
      if (shape_.kind == GemmKind::kWeightGradient) {
        add_up(e, first, rows);
      } else if (rows > 0) {
        multiply(e, first, rows);
      }
    }
  }

  std::optional<std::int64_t> granule_rows() const override { return 1; }

 private:
  /// The rows of one expert with its weights, [n, k] or, of a data gradient, [k, n].
  void multiply(std::int64_t expert, std::int64_t first, std::int64_t rows) const {
    const bool behind = shape_.kind == GemmKind::kDataGradient;
    const auto m = static_cast<blasint>(rows), n = static_cast<blasint>(shape_.n), k = static_cast<blasint>(shape_.k);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, behind ? CblasNoTrans : CblasTrans, m, n, k, 1.0f,
                static_cast<const float*>(data_.a) + first * shape_.k, k,
                static_cast<const float*>(data_.w) + expert * shape_.n * shape_.k, behind ? n : k, 0.0f,
                static_cast<float*>(data_.c) + first * shape_.n, n);
  }

  /// The weight gradient of one expert: zeros, and its rows on top.
  void add_up(std::int64_t expert, std::int64_t first, std::int64_t rows) const {
    const auto n = static_cast<blasint>(shape_.n), k = static_cast<blasint>(shape_.k);
    float* c = static_cast<float*>(data_.c) + expert * shape_.n * shape_.k;
    std::fill_n(c, shape_.n * shape_.k, 0.0f);
    for (std::int64_t done = 0; done < rows; done += kRowsAtOnce) {
      const auto some = static_cast<blasint>(std::min(kRowsAtOnce, rows - done));
      const float* a = static_cast<const float*>(data_.a) + (first + done) * shape_.n;
      const float* w = static_cast<const float*>(data_.w) + (first + done) * shape_.k;
      if (shape_.transpose) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, n, some, 1.0f, w, k, a, n, 1.0f, c, n);
      } else {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, k, some, 1.0f, a, n, w, k, 1.0f, c, k);
      }
    }
  }

  int threads_;
  GroupedGemmProblem shape_;
  std::vector<std::int32_t> offsets_;
  GroupedGemmData data_;
};

}  // namespace

std::string why_not_openblas(const GroupedGemmProblem& problem, const DeviceInfo&) {
  if (problem.kind == GemmKind::kUniformRows) return "it multiplies each expert's own rows only";
  if (problem.dtype != DType::kFp32 || problem.gradient != DType::kFp32) return "it takes fp32";
  if (problem.gather || problem.swiglu || problem.swiglu_gradient) return "it fuses neither gather nor SwiGLU";
  return {};
}

std::unique_ptr<GroupedGemm> make_openblas_gemm(System& system, const GroupedGemmProblem& problem,
                                                const std::vector<std::int32_t>& offsets, const GroupedGemmData& data) {
  return std::make_unique<OpenBlasGemm>(system.threads(), problem, offsets, data);
}

}  // namespace tatr
