// The grouped GEMM that all back ends share: for each expert e, C[rows of e, n] = A[rows of e, k] * W[e]^T.
//
// Rows of expert e are offsets[e] … offsets[e+1]-1. A [R, k], W [E, n, k] and C [R, n] are row-major in the system's
// memory: fp32 on the CPU, bf16 with fp32 accumulation on a GPU. Making a GroupedGemm may do what a library wants done
// beforehand (counts on the host, pointer arrays); run() is what is timed and allocates nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/system.hpp"

namespace tatr {

struct GroupedGemmShape {
  std::int64_t experts = 0, n = 0, k = 0;
  std::int64_t tile_rows = 128;  // what an expert's rows are cut into, where the back end lets itself be told
  std::int64_t rows_bound = 0;   // rows that A and C have room for
  /// Instead of tile_rows, where experts differ: [E] on the host, or empty. In one launch, or one for each size.
  std::vector<std::int32_t> tile_of_expert = {};
  bool launch_per_tile = false;
};

struct GroupedGemmData {
  const void* a = nullptr;
  const void* w = nullptr;
  void* c = nullptr;
  const std::int32_t* offsets = nullptr;  // [E+1] in the system's memory
  // Only where can_fuse() says so:
  const std::int32_t* token_index =
      nullptr;          // [R]: A is x [T, k], and row r of the GEMM is x[token_index[r]]; -1: zeros
  bool swiglu = false;  // C is [R, n/2]: silu of the first half of the columns times the second
};

class GroupedGemm {
 public:
  virtual ~GroupedGemm() = default;
  virtual void run() = 0;
  /// Measures the back end's own variants on the data as they are and keeps the fastest. Overwrites C.
  virtual void tune() {}
  /// Kernels that a run() launches, where the back end has a say in it.
  virtual std::optional<int> launches() const { return std::nullopt; }
  /// Rows that an expert's count is really rounded up to; nothing where a library keeps it to itself, or where experts
  /// differ.
  virtual std::optional<std::int64_t> granule_rows() const { return std::nullopt; }
  /// Which of the back end's own kernels runs; empty where a library keeps it to itself, or there is but one.
  virtual std::string variant() const { return {}; }
  /// What differs from what was asked, for the report; or empty.
  virtual std::string note() const { return {}; }
};

/// Whether a back end takes token_index and swiglu.
bool can_fuse(const std::string& backend);

/// The back end that `auto` means on this system.
std::string default_backend(const System& system);

/// `offsets` [E+1] on the host; data.offsets holds the same on the system. Throws ConfigError if the system cannot run
/// the back end, EnvironmentError if a library that it needs is not there.
std::unique_ptr<GroupedGemm> make_grouped_gemm(System& system, const std::string& backend,
                                               const GroupedGemmShape& shape, const std::vector<std::int32_t>& offsets,
                                               const GroupedGemmData& data);

/// Whether cublas_uniform, the yardstick, can run: on a GPU, where libcublas is found.
bool has_uniform_yardstick(const System& system);

/// Back ends that this build has and this system can run.
std::vector<std::string> backends_of(bool cuda);

}  // namespace tatr
