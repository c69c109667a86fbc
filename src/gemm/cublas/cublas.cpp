#include "gemm/cublas/cublas.hpp"

#include <cublas_v2.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "device/cuda_check.hpp"
#include "device/library.hpp"

namespace tatr {

namespace {

// The header overloads these two for C++, so decltype cannot name them.
using GemmEx = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                                  const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
                                  cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
using GemmStridedBatchedEx = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                                                const void*, const void*, cudaDataType, int, long long, const void*,
                                                cudaDataType, int, long long, const void*, void*, cudaDataType, int,
                                                long long, int, cublasComputeType_t, cublasGemmAlgo_t);

/// The functions of libcublas that are used.
struct CublasLibrary {
  std::string missing;  // why they cannot be used; empty: they can
  decltype(&cublasCreate_v2) create = nullptr;
  decltype(&cublasDestroy_v2) destroy = nullptr;
  decltype(&cublasSetStream_v2) set_stream = nullptr;
  GemmEx gemm = nullptr;
  GemmStridedBatchedEx gemm_strided = nullptr;
  decltype(&cublasGemmGroupedBatchedEx) gemm_grouped = nullptr;

  static const CublasLibrary& get() {
    static const CublasLibrary library = load();
    return library;
  }

 private:
  static CublasLibrary load() {
    const RuntimeLibrary file{"libcublas.so.13", "libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so.13"};
    CublasLibrary library;
    if (!file.is_there()) {
      library.missing = "libcublas.so.13 is not found: add its folder to LD_LIBRARY_PATH, or choose another back end";
      return library;
    }
    library.resolve(file, "cublasCreate_v2", library.create);
    library.resolve(file, "cublasDestroy_v2", library.destroy);
    library.resolve(file, "cublasSetStream_v2", library.set_stream);
    library.resolve(file, "cublasGemmEx", library.gemm);
    library.resolve(file, "cublasGemmStridedBatchedEx", library.gemm_strided);
    library.resolve(file, "cublasGemmGroupedBatchedEx", library.gemm_grouped);
    return library;
  }

  template <class Function>
  void resolve(const RuntimeLibrary& file, const char* name, Function& function) {
    function = file.find<Function>(name);
    if (function == nullptr && missing.empty()) {
      missing = std::string("libcublas has no ") + name + ": version 12.5 or later is needed";
    }
  }
};

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw CudaError(std::string(call) + " failed with cuBLAS status " + std::to_string(status));
}

/// A handle on the system's stream, shared by all GEMMs of the system: each handle has a workspace of its own.
std::shared_ptr<cublasContext> handle_of(System& system) {
  static std::mutex mutex;
  static std::map<System*, std::weak_ptr<cublasContext>> handles;
  const std::lock_guard lock(mutex);
  auto handle = handles[&system].lock();
  if (handle == nullptr) {
    cublasHandle_t made = nullptr;
    const GuardedCall guard("cublasCreate");
    check(CublasLibrary::get().create(&made), "cublasCreate");
    handle = std::shared_ptr<cublasContext>(made, [](cublasHandle_t h) {
      if (!device_is_abandoned()) CublasLibrary::get().destroy(h);
    });
    check(CublasLibrary::get().set_stream(made, system.stream()), "cublasSetStream");
    handles[&system] = handle;
  }
  return handle;
}

constexpr std::int64_t kElementBytes = 2;  // bf16
const float kOne = 1.0f, kZero = 0.0f;

/// cuBLAS is column-major, where a row-major array is its own transpose: C^T [n, rows] = (W as [k, n])^T * (A as [k,
/// rows]); of a data gradient (W as [n, k]) * (A as [k, rows]); of a weight gradient C^T [k, n] = (W as [k, rows]) * (A
/// as [n, rows])^T, or with the two exchanged.
class CublasGemm final : public GroupedGemm {
 public:
  CublasGemm(System& system, CublasMode mode, const GroupedGemmProblem& shape, const std::vector<std::int32_t>& offsets,
             const GroupedGemmData& data)
      : handle_(handle_of(system)), stream_(system.stream()), mode_(mode), shape_(shape), data_(data) {
    if (shape.kind == GemmKind::kWeightGradient) {
      add_weight_gradients(offsets);
      return;
    }
    for (std::int64_t e = 0; e < shape.experts; ++e) {
      const std::int64_t first = offsets[static_cast<std::size_t>(e)];
      const std::int64_t rows = offsets[static_cast<std::size_t>(e) + 1] - first;
      if (rows == 0) continue;
      rows_.push_back(static_cast<int>(rows));
      a_.push_back(static_cast<const char*>(data.a) + first * shape.k * kElementBytes);
      w_.push_back(static_cast<const char*>(data.w) + e * shape.n * shape.k * kElementBytes);
      c_.push_back(static_cast<char*>(data.c) + first * shape.n * kElementBytes);
    }
    uniform_rows_ = shape.experts == 0 ? 0 : offsets.back() / shape.experts;
    const std::size_t groups = rows_.size();
    n_.assign(groups, static_cast<int>(shape.n));
    k_.assign(groups, static_cast<int>(shape.k));
    ones_.assign(groups, 1.0f);
    zeros_.assign(groups, 0.0f);
    sizes_.assign(groups, 1);
    transposed_.assign(groups, CUBLAS_OP_T);
    plain_.assign(groups, CUBLAS_OP_N);
    if (mode == CublasMode::kGrouped) {
      device_a_ = Buffer<const void*>(system, a_);
      device_w_ = Buffer<const void*>(system, w_);
      device_c_ = Buffer<void*>(system, c_);
    }
  }

  void run() override {
    const GuardedCall guard("cuBLAS");
    if (rows_.empty()) return;
    if (mode_ == CublasMode::kGrouped) return run_grouped();
    if (mode_ == CublasMode::kUniform) return run_uniform();
    if (shape_.kind == GemmKind::kWeightGradient) return run_weight_gradients();
    const int n = static_cast<int>(shape_.n), k = static_cast<int>(shape_.k);
    const bool across = shape_.kind == GemmKind::kDataGradient;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      check(CublasLibrary::get().gemm(handle_.get(), across ? CUBLAS_OP_N : CUBLAS_OP_T, CUBLAS_OP_N, n, rows_[i], k,
                                      &kOne, w_[i], CUDA_R_16BF, across ? n : k, a_[i], CUDA_R_16BF, k, &kZero, c_[i],
                                      CUDA_R_16BF, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            "cublasGemmEx");
    }
  }

 private:
  void add_weight_gradients(const std::vector<std::int32_t>& offsets) {
    for (std::int64_t e = 0; e < shape_.experts; ++e) {
      const std::int64_t first = offsets[static_cast<std::size_t>(e)];
      rows_.push_back(static_cast<int>(offsets[static_cast<std::size_t>(e) + 1] - first));
      a_.push_back(static_cast<const char*>(data_.a) + first * shape_.n * kElementBytes);
      w_.push_back(static_cast<const char*>(data_.w) + first * shape_.k * kElementBytes);
      c_.push_back(static_cast<char*>(data_.c) + e * gradient_bytes());
    }
  }

  std::int64_t gradient_bytes() const {  // of one expert
    return shape_.n * shape_.k * static_cast<std::int64_t>(bytes_of(shape_.gradient));
  }

  void run_weight_gradients() {
    const int n = static_cast<int>(shape_.n), k = static_cast<int>(shape_.k);
    const int height = shape_.transpose ? n : k, width = shape_.transpose ? k : n;
    const cudaDataType type = shape_.gradient == DType::kFp32 ? CUDA_R_32F : CUDA_R_16BF;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i] == 0) {
        TATR_CUDA_CHECK(cudaMemsetAsync(c_[i], 0, static_cast<std::size_t>(gradient_bytes()), stream_));
        continue;
      }
      const void *left = w_[i], *right = a_[i];
      if (shape_.transpose) std::swap(left, right);
      check(CublasLibrary::get().gemm(handle_.get(), CUBLAS_OP_N, CUBLAS_OP_T, height, width, rows_[i], &kOne, left,
                                      CUDA_R_16BF, height, right, CUDA_R_16BF, width, &kZero, c_[i], type, height,
                                      CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            "cublasGemmEx");
    }
  }

  void run_grouped() {
    check(CublasLibrary::get().gemm_grouped(handle_.get(), transposed_.data(), plain_.data(), n_.data(), rows_.data(),
                                            k_.data(), ones_.data(), device_w_.data(), CUDA_R_16BF, k_.data(),
                                            device_a_.data(), CUDA_R_16BF, k_.data(), zeros_.data(), device_c_.data(),
                                            CUDA_R_16BF, n_.data(), static_cast<int>(rows_.size()), sizes_.data(),
                                            CUBLAS_COMPUTE_32F),
          "cublasGemmGroupedBatchedEx");
  }

  void run_uniform() {
    const int n = static_cast<int>(shape_.n), k = static_cast<int>(shape_.k), rows = static_cast<int>(uniform_rows_);
    if (rows == 0) return;
    check(CublasLibrary::get().gemm_strided(handle_.get(), CUBLAS_OP_T, CUBLAS_OP_N, n, rows, k, &kOne, data_.w,
                                            CUDA_R_16BF, k, shape_.n * shape_.k, data_.a, CUDA_R_16BF, k,
                                            rows * shape_.k, &kZero, data_.c, CUDA_R_16BF, n, rows * shape_.n,
                                            static_cast<int>(shape_.experts), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
          "cublasGemmStridedBatchedEx");
  }

  std::shared_ptr<cublasContext> handle_;
  CUstream_st* stream_;
  CublasMode mode_;
  GroupedGemmProblem shape_;
  GroupedGemmData data_;
  std::int64_t uniform_rows_ = 0;
  std::vector<int> rows_, n_, k_, sizes_;  // of experts that have rows; of weight gradients, of all
  std::vector<float> ones_, zeros_;
  std::vector<cublasOperation_t> transposed_, plain_;
  std::vector<const void*> a_, w_;
  std::vector<void*> c_;
  Buffer<const void*> device_a_, device_w_;
  Buffer<void*> device_c_;
};

}  // namespace

std::string cublas_missing() { return CublasLibrary::get().missing; }

std::unique_ptr<GroupedGemm> make_cublas_gemm(System& system, CublasMode mode, const GroupedGemmProblem& problem,
                                              const std::vector<std::int32_t>& offsets, const GroupedGemmData& data) {
  return std::make_unique<CublasGemm>(system, mode, problem, offsets, data);
}

}  // namespace tatr
