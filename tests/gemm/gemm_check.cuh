// Checks a grouped GEMM on the GPU against sums in fp32 on fresh random inputs: every row that belongs to an expert,
// and that nothing else was written. Knows no test framework.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/integer_math.hpp"
#include "device/cuda_check.hpp"
#include "gemm/sm90/tatr_gemm.hpp"

namespace tatr::testing {

struct GemmCase {
  std::string name;
  std::vector<std::int32_t> counts;  // of rows, an expert each
  std::int64_t n, k;
  std::int32_t tile_rows = 128;
  bool gather = false, swiglu = false;
  std::int32_t k_stagger = 0;
  Schedule schedule = Schedule::kCooperative;
};

struct GemmErrors {
  double overall = 0, worst_row = 0;  // norm of the difference over the norm of the reference
  std::int64_t touched = 0;           // elements written that belong to no expert
  bool passed() const { return overall < 5e-3 && worst_row < 1e-2 && touched == 0; }  // NaN never passes
};

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    TATR_CUDA_CHECK(cudaMalloc(&data_, std::max<std::size_t>(count, 1) * sizeof(T)));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    TATR_CUDA_CHECK(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  std::vector<T> to_host() const {
    std::vector<T> values(count_);
    TATR_CUDA_CHECK(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

inline __device__ std::uint32_t mix_bits(std::uint64_t value) {
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
  value = (value ^ value >> 27) * 0x94d049bb133111ebull;
  return static_cast<std::uint32_t>(value >> 32);
}

static __global__ void fill_uniform(__nv_bfloat16* data, std::int64_t count, std::uint64_t seed, float scale) {
  for (std::int64_t i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256) {
    data[i] = __float2bfloat16((mix_bits(seed * 0x9e3779b97f4a7c15ull + i) * 0x1p-31f - 1.0f) * scale);
  }
}

struct ReferenceArguments {
  const __nv_bfloat16 *a, *weights, *c;
  const std::int32_t *token_index, *expert_of_row;
  std::int64_t n, k;
  bool swiglu;
  double* row_errors;  // [rows, 2]: sums of squares of the difference and of the reference
};

inline __device__ float dot(const __nv_bfloat16* a, const __nv_bfloat16* b, std::int64_t k) {
  float sum = 0;
  for (std::int64_t i = 0; i < k; ++i) sum = fmaf(__bfloat162float(a[i]), __bfloat162float(b[i]), sum);
  return sum;
}

/// One block a row.
static __global__ void compare_rows(ReferenceArguments arguments) {
  const std::int64_t row = blockIdx.x, outputs = arguments.swiglu ? arguments.n / 2 : arguments.n;
  const std::int64_t source = arguments.token_index ? arguments.token_index[row] : row;
  const __nv_bfloat16* a = arguments.a + source * arguments.k;
  const __nv_bfloat16* weights = arguments.weights + arguments.expert_of_row[row] * arguments.n * arguments.k;
  double difference = 0, reference = 0;
  for (std::int64_t column = threadIdx.x; column < outputs; column += blockDim.x) {
    double expected = source < 0 ? 0 : dot(a, weights + column * arguments.k, arguments.k);
    if (arguments.swiglu && source >= 0) {
      expected = expected / (1 + exp(-expected)) * dot(a, weights + (outputs + column) * arguments.k, arguments.k);
    }
    const double error = static_cast<double>(__bfloat162float(arguments.c[row * outputs + column])) - expected;
    difference += error * error;
    reference += expected * expected;
  }
  atomicAdd(arguments.row_errors + 2 * row, difference);
  atomicAdd(arguments.row_errors + 2 * row + 1, reference);
}

constexpr std::uint16_t kPoison = 0x7fc3;  // a NaN

/// `sums` [rows, 2] as compare_rows adds them up; of what was written the first `asked` elements should have been.
inline GemmErrors errors_of(const std::vector<double>& sums, const std::vector<__nv_bfloat16>& written,
                            std::int64_t asked) {
  GemmErrors errors;
  double difference = 0, reference = 0;
  for (std::size_t row = 0; row < sums.size() / 2; ++row) {
    difference += sums[2 * row];
    reference += sums[2 * row + 1];
    const double scale = std::max(sums[2 * row + 1], 1e-12);
    const double error = std::sqrt(sums[2 * row] / scale);
    if (!(error <= errors.worst_row)) errors.worst_row = error;
  }
  errors.overall = std::sqrt(difference / std::max(reference, 1e-12));
  for (std::size_t i = asked; i < written.size(); ++i) {
    errors.touched += reinterpret_cast<const std::uint16_t&>(written[i]) != kPoison;
  }
  return errors;
}

/// A quarter of the token list is padding where `gather` is set: those rows must come out as zeros.
inline GemmErrors check_gemm(const GemmCase& test, std::uint64_t seed) {
  constexpr std::int64_t kSpareRows = 300, kTokens = 777;
  std::vector<std::int32_t> offsets{0}, expert_of_row, token_index;
  for (std::size_t e = 0; e < test.counts.size(); ++e) {
    offsets.push_back(offsets.back() + test.counts[e]);
    expert_of_row.insert(expert_of_row.end(), test.counts[e], static_cast<std::int32_t>(e));
  }
  const std::int64_t rows = offsets.back(), bound = rows + kSpareRows, outputs = test.swiglu ? test.n / 2 : test.n;
  for (std::int64_t row = 0; row < bound; ++row) {
    const auto draw =
        static_cast<std::int32_t>((row * 7919 + static_cast<std::int64_t>(seed) * 31) % (kTokens + kTokens / 3));
    token_index.push_back(draw < kTokens ? draw : -1);
  }
  const auto experts = static_cast<std::int32_t>(test.counts.size());
  const DeviceArray<__nv_bfloat16> a((test.gather ? kTokens : bound) * test.k), weights(experts * test.n * test.k);
  const DeviceArray<__nv_bfloat16> c(bound * outputs);
  const DeviceArray<std::int32_t> device_offsets(offsets), device_tokens(token_index), device_experts(expert_of_row);
  const DeviceArray<double> row_errors(std::vector<double>(2 * rows, 0.0));
  fill_uniform<<<512, 256>>>(a.data(), static_cast<std::int64_t>(a.size()), seed, 1.0f);
  TATR_CHECK_LAUNCH(fill_uniform);
  fill_uniform<<<512, 256>>>(weights.data(), static_cast<std::int64_t>(weights.size()), seed + 1000003,
                             2.0f / std::sqrt(static_cast<float>(test.k)));
  TATR_CHECK_LAUNCH(fill_uniform);
  const std::vector<std::uint16_t> poison(c.size(), kPoison);
  TATR_CUDA_CHECK(cudaMemcpy(c.data(), poison.data(), poison.size() * 2, cudaMemcpyHostToDevice));

  TatrProblem problem{experts, test.n, test.k, test.tile_rows, bound, test.gather, test.swiglu};
  TatrPlan plan = make_plan(problem, current_tatr_device());
  plan.k_stagger = test.k_stagger;
  plan.schedule = test.schedule;
  const DeviceArray<std::int32_t> queue(std::vector<std::int32_t>{0, 0});
  const TatrGemm gemm(plan,
                      {a.data(), device_tokens.data(), weights.data(), device_offsets.data(), c.data(), queue.data()});
  gemm.launch(nullptr);
  gemm.launch(nullptr);  // the queue must be as the first launch found it
  TATR_CUDA_CHECK(cudaDeviceSynchronize());

  if (rows > 0) {
    compare_rows<<<static_cast<unsigned>(rows), 256>>>(
        {a.data(), weights.data(), c.data(), test.gather ? device_tokens.data() : nullptr, device_experts.data(),
         test.n, test.k, test.swiglu, row_errors.data()});
    TATR_CHECK_LAUNCH(compare_rows);
  }
  TATR_CUDA_CHECK(cudaDeviceSynchronize());
  return errors_of(row_errors.to_host(), c.to_host(), rows * outputs);
}

/// Shapes that a tile, its pipeline or its scheduler could get wrong. `small`: for tools that slow a kernel a
/// thousandfold.
inline std::vector<GemmCase> gemm_cases(bool small) {
  std::vector<GemmCase> cases;
  const std::vector<std::int32_t> ragged{130, 0, 1, 127, 128, 129, 0, 255, 256, 257, 64, 65, 384, 0};
  for (const std::int32_t tile : {64, 128, 256}) {
    for (const int fused : {0, 1, 2, 3}) {
      const bool gather = fused % 2 != 0, swiglu = fused / 2 != 0;
      const std::string name = "tile " + std::to_string(tile) + (gather ? " gather" : "") + (swiglu ? " swiglu" : "");
      if (small) {
        cases.push_back({name + " small", {130, 0, 300, 1}, 528, 328, tile, gather, swiglu, 0});
        continue;
      }
      cases.push_back({name + " ragged", ragged, 1024, 512, tile, gather, swiglu, 0});
      cases.push_back({name + " ragged, staggered", ragged, 1536, 448, tile, gather, swiglu, 3});
      cases.push_back({name + " multiples of 8 only", ragged, 784, 264, tile, gather, swiglu, 5});
      cases.push_back({name + " short k", {300, 5, 0, 700}, 272, 8, tile, gather, swiglu, 0});
      cases.push_back({name + " k of two blocks", {300, 5, 0, 700}, 16, 128, tile, gather, swiglu, 1});
      cases.push_back({name + " k of five blocks", {300, 5, 0, 700}, 2048, 320, tile, gather, swiglu, 1});
      cases.push_back({name + " rounded", {256, 512, 0, 1024, 256, 768}, 2048, 1024, tile, gather, swiglu, 0});
      cases.push_back({name + " one row", {0, 0, 1, 0}, 512, 256, tile, gather, swiglu, 0});
      cases.push_back({name + " no rows", {0, 0, 0}, 512, 256, tile, gather, swiglu, 0});
      cases.push_back({name + " all to one", {0, 6000, 0, 0}, 1024, 512, tile, gather, swiglu, 0});
      cases.push_back({name + " one expert", {1000}, 520 + (swiglu ? 8 : 0), 72, tile, gather, swiglu, 0});
      std::vector<std::int32_t> many(300);
      for (std::size_t e = 0; e < many.size(); ++e) many[e] = static_cast<std::int32_t>(e * 37 % 90);
      cases.push_back({name + " many experts", many, 256, 192, tile, gather, swiglu, 2});
    }
  }
  for (std::size_t i = 0, count = cases.size(); i < count; ++i) {
    if (cases[i].gather || cases[i].swiglu) continue;
    cases.push_back(cases[i]);
    cases.back().name += " ping-pong";
    cases.back().schedule = Schedule::kPingPong;
  }
  return cases;
}

}  // namespace tatr::testing
