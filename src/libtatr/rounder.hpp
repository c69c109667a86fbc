// Rounding in borrowed memory, again and again: what a tatr_rounder of libtatr/tatr.h is, without C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "device/borrowed_system.hpp"
#include "libtatr/rounder_options.hpp"
#include "libtatr/tatr.h"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"

namespace tatr {

/// Of one shape, router and strategy. Pointers that it is given are to its device's memory; work is given to `stream`,
/// of no meaning on a CPU, and not waited for, except where it says so.
class Rounder {
 public:
  /// Throws ConfigError and EnvironmentError.
  explicit Rounder(RounderOptions options);
  ~Rounder();

  std::size_t workspace_bytes() const { return workspace_bytes_; }
  std::int64_t most_rows() const { return most_rows_; }

  /// Takes a workspace; waits.
  void prepare(void* workspace, std::size_t bytes, CUstream_st* stream);
  /// Of logits [T, E], fp32 or bf16 as the options say.
  void round_logits(const void* logits, const tatr_outputs& outputs, CUstream_st* stream);
  /// Of ids [T, K] and scores [T, K] or null.
  void round_top_k(const std::int32_t* ids, const float* scores, const tatr_outputs& outputs, CUstream_st* stream);
  /// Waits, and throws what the last round's data were not.
  void check(CUstream_st* stream);

 private:
  struct Rooms;

  Rooms& rooms_for(const tatr_outputs& outputs, CUstream_st* stream);
  void round(const Routing& routing, const tatr_outputs& outputs);

  RounderOptions options_;
  std::unique_ptr<BorrowedSystem> system_;
  std::int64_t most_rows_ = 0;
  std::size_t workspace_bytes_ = 0;
  std::unique_ptr<Rooms> rooms_;  // in the workspace
};

}  // namespace tatr
