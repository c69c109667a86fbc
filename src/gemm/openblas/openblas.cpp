#include "gemm/openblas/openblas.hpp"

#include <cblas.h>

namespace tatr {

namespace {

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
      if (rows == 0) continue;
      const auto m = static_cast<blasint>(rows), n = static_cast<blasint>(shape_.n), k = static_cast<blasint>(shape_.k);
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0f,
                  static_cast<const float*>(data_.a) + first * shape_.k, k,
                  static_cast<const float*>(data_.w) + e * shape_.n * shape_.k, k, 0.0f,
                  static_cast<float*>(data_.c) + first * shape_.n, n);
    }
  }

  std::optional<std::int64_t> granule_rows() const override { return 1; }

 private:
  int threads_;
  GroupedGemmProblem shape_;
  std::vector<std::int32_t> offsets_;
  GroupedGemmData data_;
};

}  // namespace

std::string why_not_openblas(const GroupedGemmProblem& problem, const DeviceInfo&) {
  if (problem.kind != GemmKind::kRaggedRows) return "it multiplies each expert's own rows only";
  if (problem.dtype != DType::kFp32) return "it takes fp32";
  if (problem.gather || problem.swiglu) return "it fuses neither gather nor SwiGLU";
  return {};
}

std::unique_ptr<GroupedGemm> make_openblas_gemm(System& system, const GroupedGemmProblem& problem,
                                                const std::vector<std::int32_t>& offsets, const GroupedGemmData& data) {
  return std::make_unique<OpenBlasGemm>(system.threads(), problem, offsets, data);
}

}  // namespace tatr
