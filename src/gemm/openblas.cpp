#include "gemm/openblas.hpp"

#include <cblas.h>

namespace tatr {

namespace {

class OpenBlasGemm final : public GroupedGemm {
 public:
  OpenBlasGemm(int threads, const GroupedGemmShape& shape, std::vector<std::int32_t> offsets,
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
  GroupedGemmShape shape_;
  std::vector<std::int32_t> offsets_;
  GroupedGemmData data_;
};

}  // namespace

std::unique_ptr<GroupedGemm> make_openblas_gemm(int threads, const GroupedGemmShape& shape,
                                                const std::vector<std::int32_t>& offsets, const GroupedGemmData& data) {
  return std::make_unique<OpenBlasGemm>(threads, shape, offsets, data);
}

}  // namespace tatr
