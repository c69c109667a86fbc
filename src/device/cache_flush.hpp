// Empties a system's caches before something is timed: cold and clean, one protocol for samples and for tuning. What
// was there goes, and what takes its place need not be written back while the clock runs: a cache full of lines that
// are only just written would take 3 us of a GPU's sample.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/system.hpp"

namespace tatr {

class CacheFlush {
 public:
  explicit CacheFlush(System& system);

  /// Gives the system its work: writes twice the last-level cache (32 MB at most on a CPU) with data that is not zero,
  /// then reads as much that nobody writes.
  void run();

  /// Of the system's memory.
  static std::size_t bytes(const System& system);

 private:
  System& system_;
  Buffer<std::uint64_t> written_, read_;
  std::uint64_t pattern_ = 0x9E3779B97F4A7C15u;
};

}  // namespace tatr
