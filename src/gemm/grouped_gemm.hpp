// The grouped GEMM that all back ends share. Making one may do what a library wants done beforehand (counts on the
// host, pointer arrays); run() is what is timed and allocates nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tatr {

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

}  // namespace tatr
