// Sorts distinct 64-bit keys ascending with one block: warps sort runs of 32 in registers, then runs are merged in
// pairs, in shared memory as far as they fit there. A key's place after a merge is its place in its own run plus the
// number of smaller keys in the other, found by bisection: no thread waits for another but between merges, and counts
// need not be powers of two.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tatr {

inline constexpr int kSortThreads = 512;
inline constexpr int kSortRoom = 4096;  // keys; three such blocks fit on a multiprocessor
inline constexpr std::size_t kSortBytes = 2 * kSortRoom * sizeof(std::uint64_t);
inline constexpr std::uint64_t kNoKey = ~std::uint64_t{0};

/// Bitonic sort (Batcher, 1968) of the keys of a warp's lanes.
__device__ inline std::uint64_t sort_in_warp(std::uint64_t key) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int run = 2; run <= 32; run *= 2) {
#pragma unroll
    for (int distance = run / 2; distance > 0; distance /= 2) {
      const std::uint64_t other = __shfl_xor_sync(0xFFFFFFFFu, key, distance);
      const bool takes_lower = ((lane & run) == 0 || run == 32) == ((lane & distance) == 0);
      key = (other < key) == takes_lower ? other : key;
    }
  }
  return key;
}

/// How many of kRun sorted keys are smaller.
template <int kRun>
__device__ int keys_below(const std::uint64_t* sorted, std::uint64_t key) {
  int below = 0;
#pragma unroll
  for (int step = kRun / 2; step > 0; step /= 2) below += sorted[below + step - 1] < key ? step : 0;
  return below + (sorted[below] < key ? 1 : 0);
}

/// Merges neighbouring sorted runs of kRun keys and more until all `count` are one, from `a` to `b` and back. Beyond
/// `count`, both hold kNoKey up to the next power of two. Returns where the keys are.
template <int kRun>
__device__ std::uint64_t* merge_in_shared(std::uint64_t* a, std::uint64_t* b, int count) {
  if constexpr (kRun >= kSortRoom) {
    return a;
  } else {
    if (kRun >= count) return a;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
      const std::uint64_t key = a[i];
      const int beside = (i ^ kRun) & ~(kRun - 1);  // where the other run begins
      b[(i & ~kRun) + keys_below<kRun>(a + beside, key)] = key;
    }
    __syncthreads();
    return merge_in_shared<2 * kRun>(b, a, count);
  }
}

/// The power of two of at least `count` and 32.
__device__ inline int padded(int count) { return count <= 32 ? 32 : 1 << (32 - __clz(count - 1)); }

/// Sorts the first `count` of kSortRoom keys in shared memory; `room` holds twice as many. Called by all threads after
/// a barrier; ends with one. Returns where the keys are.
__device__ inline std::uint64_t* sort_in_shared(std::uint64_t* room, int count) {
  const int size = padded(count);
  for (int i = static_cast<int>(threadIdx.x); i < size; i += static_cast<int>(blockDim.x)) {
    const bool in_use = i < (count + 31) / 32 * 32;  // by whole warps
    const std::uint64_t key = in_use ? sort_in_warp(i < count ? room[i] : kNoKey) : kNoKey;
    room[i] = key;
    if (i >= count) room[kSortRoom + i] = kNoKey;
  }
  __syncthreads();
  return merge_in_shared<32>(room, room + kSortRoom, count);
}

/// How many of `count` sorted keys are smaller.
__device__ inline int keys_below(const std::uint64_t* sorted, int count, std::uint64_t key) {
  int low = 0, high = count;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (sorted[middle] < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// As merge_in_shared, for runs in global memory of any number.
__device__ inline std::uint64_t* merge_in_global(std::uint64_t* a, std::uint64_t* b, int count) {
  for (int run = kSortRoom; run < count; run *= 2) {
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
      const int first = i & ~(2 * run - 1);
      const int middle = first + run < count ? first + run : count;
      const int end = first + 2 * run < count ? first + 2 * run : count;
      const int place =
          i < middle ? i + keys_below(a + middle, end - middle, a[i]) : i - run + keys_below(a + first, run, a[i]);
      b[place] = a[i];
    }
    __syncthreads();
    std::uint64_t* const swap = a;
    a = b;
    b = swap;
  }
  return a;
}

/// Sorts `count` keys in place; `spare` has room for as many. Called by all threads; ends with a barrier. Returns where
/// the sorted keys can be read: in shared memory, if they fit there.
__device__ inline const std::uint64_t* sort_keys(std::uint64_t* keys, std::uint64_t* spare, int count,
                                                 std::uint64_t* room) {
  const std::uint64_t* sorted = keys;
  for (int first = 0; first < count; first += kSortRoom) {
    const int part = count - first < kSortRoom ? count - first : kSortRoom;
    for (int i = threadIdx.x; i < part; i += blockDim.x) room[i] = keys[first + i];
    __syncthreads();
    sorted = sort_in_shared(room, part);
    for (int i = threadIdx.x; i < part; i += blockDim.x) keys[first + i] = sorted[i];
    if (count > kSortRoom) __syncthreads();
  }
  if (count <= kSortRoom) return sorted;
  const std::uint64_t* const merged = merge_in_global(keys, spare, count);
  if (merged != keys) {
    for (int i = threadIdx.x; i < count; i += blockDim.x) keys[i] = merged[i];
    __syncthreads();
  }
  return keys;
}

}  // namespace tatr
