#include <unistd.h>

#include <algorithm>

#include "core/integer_math.hpp"
#include "device/cache_flush.hpp"
#include "device/thrust_policy.cuh"

#if defined(__CUDACC__)
#include "device/cuda_check.hpp"
#endif

namespace tatr {

namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);

struct alignas(16) TwoWords {
  std::uint64_t first, second;
};

struct WriteTwo {
  TwoWords* out;
  std::uint64_t pattern;
  TATR_HD void operator()(std::int64_t i) const {
    const std::uint64_t word = pattern * (2 * static_cast<std::uint64_t>(i) + 1);
    out[i] = {word, ~word};
  }
};

/// A read that a compiler must leave in: what it would do with a value that is not there.
struct ReadTwo {
  const TwoWords* from;
  std::uint64_t* never;
  TATR_HD void operator()(std::int64_t i) const {
    const TwoWords words = from[i];
    if (words.first == words.second) *never = words.first;  // WriteTwo writes no equal words
  }
};

std::size_t cache_bytes([[maybe_unused]] const System& system) {
#if defined(__CUDACC__)
  if (system.is_cuda()) {
    int l2_bytes = 0;
    TATR_CUDA_CHECK(cudaDeviceGetAttribute(&l2_bytes, cudaDevAttrL2CacheSize, system.index()));
    return static_cast<std::size_t>(l2_bytes);
  }
#endif
  constexpr long kMost = 16 << 20;
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return static_cast<std::size_t>(cache > 0 ? std::min(cache, kMost) : kMost);
}

void write(System& system, Buffer<std::uint64_t>& words, std::uint64_t pattern) {
  const auto pairs = static_cast<std::int64_t>(words.size() / 2);
  with_policy(system, [&](auto policy) {
    for_each_index(policy, pairs, WriteTwo{reinterpret_cast<TwoWords*>(words.data()), pattern});
  });
}

}  // namespace

std::size_t CacheFlush::bytes(const System& system) { return 4 * round_up<std::size_t>(cache_bytes(system), 16); }

CacheFlush::CacheFlush(System& system)
    : system_(system),
      written_(system, 2 * round_up<std::size_t>(cache_bytes(system), 16) / kWord),
      read_(system, written_.size()) {
  write(system_, read_, pattern_);
}

void CacheFlush::run() {
  write(system_, written_, pattern_ += 2);  // odd, so that no word is zero for all i
  const auto pairs = static_cast<std::int64_t>(read_.size() / 2);
  with_policy(system_, [&](auto policy) {
    for_each_index(policy, pairs, ReadTwo{reinterpret_cast<const TwoWords*>(read_.data()), read_.data()});
  });
}

}  // namespace tatr
