// Checks the GEMMs of the backward pass, and the forward one that keeps its product, on the GPU against sums in fp32 on
// fresh random inputs: all that should be written, and that nothing else was. Knows no test framework.
#pragma once

#include "gemm/gemm_check.cuh"

namespace tatr::testing {

enum class GradientKind { kKeep, kData, kSwiglu, kWeights, kWeightsTransposed };

struct GradientCase {
  std::string name;
  GradientKind kind;
  std::vector<std::int32_t> counts;  // of rows, an expert each
  std::int64_t n, k;
  std::int32_t tile_rows = 128;
  bool gather = false;
  Schedule schedule = Schedule::kCooperative;
  DType gradient = DType::kBf16;
};

/// What one element should be, of the arrays that a case writes.
struct GradientArguments {
  GradientKind kind;
  const __nv_bfloat16 *a, *w, *product;
  const std::int32_t *token, *expert_of_row, *offsets;
  const float* gate;
  std::int64_t n, k;
  bool gather;
};

inline __device__ float element(const __nv_bfloat16* array, std::int64_t place) {
  return __bfloat162float(array[place]);
}

/// The row of A that row r stands for; negative: zeros.
inline __device__ std::int64_t row_of_a(const GradientArguments& in, std::int64_t row) {
  return in.gather ? in.token[row] : row;
}

inline __device__ float data_gradient(const GradientArguments& in, std::int64_t row, std::int64_t column) {
  const std::int64_t source = row_of_a(in, row);
  if (source < 0) return 0;
  const __nv_bfloat16* weights = in.w + in.expert_of_row[row] * in.n * in.k + column;
  float sum = 0;
  for (std::int64_t i = 0; i < in.k; ++i) sum = fmaf(element(in.a, source * in.k + i), element(weights, i * in.n), sum);
  return sum;
}

inline __device__ float weight_gradient(const GradientArguments& in, std::int64_t expert, std::int64_t n,
                                        std::int64_t k) {
  float sum = 0;
  for (std::int64_t row = in.offsets[expert]; row < in.offsets[expert + 1]; ++row) {
    const std::int64_t source = row_of_a(in, row);
    if (source >= 0) sum = fmaf(element(in.a, source * in.n + n), element(in.w, row * in.k + k), sum);
  }
  return sum;
}

inline __device__ float forward(const GradientArguments& in, std::int64_t row, std::int64_t column) {
  const std::int64_t source = row_of_a(in, row);
  if (source < 0) return 0;
  return dot(in.a + source * in.k, in.w + (in.expert_of_row[row] * in.n + column) * in.k, in.k);
}

inline __device__ void add_squares(double* sums, double value, double expected) {
  atomicAdd(sums, (value - expected) * (value - expected));
  atomicAdd(sums + 1, expected * expected);
}

struct GradientOutputs {
  const void *c, *product, *weighted;
  const float* gate_gradient;
  bool fp32;
};

/// One block a row of what is written: of C, of an expert's gradient. `sums` [4, 2]: of C, the kept product or the
/// gated activation, the gate's gradient, and the largest error of one row of C, as a share of the mean row's norm.
static __global__ void compare_gradient(GradientArguments in, GradientOutputs out, double* sums) {
  const auto* c = static_cast<const __nv_bfloat16*>(out.c);
  const std::int64_t row = blockIdx.x;
  if (in.kind == GradientKind::kWeights || in.kind == GradientKind::kWeightsTransposed) {
    const std::int64_t expert = row / in.n, n = row % in.n;
    for (std::int64_t k = threadIdx.x; k < in.k; k += blockDim.x) {
      const std::int64_t place =
          in.kind == GradientKind::kWeights ? (expert * in.n + n) * in.k + k : (expert * in.k + k) * in.n + n;
      const float value = out.fp32 ? static_cast<const float*>(out.c)[place] : element(c, place);
      add_squares(sums, value, weight_gradient(in, expert, n, k));
    }
    return;
  }
  double gate_gradient = 0, squares = 0;  // squares: of its terms, which may cancel
  const std::int64_t width = in.kind == GradientKind::kKeep ? in.n / 2 : in.n;
  for (std::int64_t column = threadIdx.x; column < width; column += blockDim.x) {
    if (in.kind == GradientKind::kKeep) {
      const auto* product = static_cast<const __nv_bfloat16*>(out.product);
      const float gate = forward(in, row, column), up = forward(in, row, width + column);
      add_squares(sums + 2, element(product, row * in.n + column), gate);
      add_squares(sums + 2, element(product, row * in.n + width + column), up);
      add_squares(sums, element(c, row * width + column), gate / (1 + expf(-gate)) * up);
      continue;
    }
    const float d = data_gradient(in, row, column);
    if (in.kind == GradientKind::kData) {
      add_squares(sums, element(c, row * width + column), d);
      continue;
    }
    const float a = element(in.product, row * 2 * width + column),
                b = element(in.product, (row * 2 + 1) * width + column);
    const float s = 1 / (1 + expf(-a)), g = in.gate[row];
    add_squares(sums, element(c, row * 2 * width + column), g * d * b * s * (1 + a * (1 - s)));
    add_squares(sums, element(c, (row * 2 + 1) * width + column), g * d * a * s);
    add_squares(sums + 2, element(static_cast<const __nv_bfloat16*>(out.weighted), row * width + column),
                g * a * s * b);
    gate_gradient += static_cast<double>(d) * a * s * b;
    squares += static_cast<double>(d) * d * (a * s * b) * (a * s * b);
  }
  if (in.kind != GradientKind::kSwiglu) return;
  __shared__ double total, terms;
  if (threadIdx.x == 0) total = terms = 0;
  __syncthreads();
  atomicAdd(&total, gate_gradient);
  atomicAdd(&terms, squares);
  __syncthreads();
  if (threadIdx.x != 0) return;
  atomicAdd(sums + 4, (out.gate_gradient[row] - total) * (out.gate_gradient[row] - total));
  atomicAdd(sums + 5, total * total > terms ? total * total : terms);
}

struct GradientErrors {
  double c = 0, second = 0, gate = 0;  // second: the kept product, or the gated activation
  std::int64_t touched = 0;
  bool passed() const { return c < 5e-3 && second < 5e-3 && gate < 5e-3 && touched == 0; }
};

/// bf16 that begins as poison.
class PoisonedArray {
 public:
  explicit PoisonedArray(std::size_t count) : array_(std::vector<std::uint16_t>(count, kPoison)) {}
  void* data() const { return array_.data(); }
  std::int64_t touched_from(std::int64_t first) const {
    const std::vector<std::uint16_t> values = array_.to_host();
    return std::count_if(values.begin() + first, values.end(), [](std::uint16_t value) { return value != kPoison; });
  }
  std::vector<std::uint16_t> to_host() const { return array_.to_host(); }

 private:
  DeviceArray<std::uint16_t> array_;
};

inline GradientErrors check_gradient(const GradientCase& test, std::uint64_t seed) {
  constexpr std::int64_t kSpareRows = 300, kTokens = 777;
  const bool keep = test.kind == GradientKind::kKeep, swiglu = test.kind == GradientKind::kSwiglu,
             transpose = test.kind == GradientKind::kWeightsTransposed,
             weights = transpose || test.kind == GradientKind::kWeights, fp32 = test.gradient == DType::kFp32;
  std::vector<std::int32_t> offsets{0}, expert_of_row, token;
  std::vector<float> gate;
  for (std::size_t e = 0; e < test.counts.size(); ++e) {
    offsets.push_back(offsets.back() + test.counts[e]);
    expert_of_row.insert(expert_of_row.end(), test.counts[e], static_cast<std::int32_t>(e));
  }
  const std::int64_t rows = offsets.back(), bound = rows + kSpareRows, experts = std::ssize(test.counts);
  for (std::int64_t row = 0; row < bound; ++row) {
    const auto draw =
        static_cast<std::int32_t>((row * 7919 + static_cast<std::int64_t>(seed) * 31) % (kTokens + kTokens / 3));
    token.push_back(draw < kTokens ? draw : -1);
    gate.push_back(row % 5 == 0 ? 0.0f : 0.1f + 0.01f * static_cast<float>(row % 37));
  }
  const std::int64_t a_width = weights ? test.n : test.k;
  const DeviceArray<__nv_bfloat16> a((test.gather ? kTokens : bound) * a_width),
      w(weights ? bound * test.k : experts * test.n * test.k), product(swiglu ? bound * 2 * test.n : 0);
  const auto fill = [&](const DeviceArray<__nv_bfloat16>& array, std::uint64_t stream, float scale) {
    fill_uniform<<<512, 256>>>(array.data(), static_cast<std::int64_t>(array.size()), seed + stream, scale);
    TATR_CHECK_LAUNCH(fill_uniform);
  };
  fill(a, 0, 1.0f);
  fill(w, 1000003, weights ? 1.0f : 2.0f / std::sqrt(static_cast<float>(test.k)));
  fill(product, 2000003, 3.0f);
  // Behind the last row lie NaNs.
  if (weights) {
    const std::vector<std::uint16_t> poison(kSpareRows * test.k, kPoison);
    TATR_CUDA_CHECK(cudaMemcpy(w.data() + rows * test.k, poison.data(), poison.size() * 2, cudaMemcpyHostToDevice));
  }
  const std::int64_t asked = weights  ? experts * test.n * test.k
                             : keep   ? rows * test.n / 2
                             : swiglu ? rows * 2 * test.n
                                      : rows * test.n;
  const std::int64_t second = keep || swiglu ? rows * test.n : 0, elements = fp32 ? 2 : 1;  // of 2 bytes
  const PoisonedArray c((asked + kSpareRows) * elements), other(second + kSpareRows);
  const DeviceArray<float> gate_gradient(std::vector<float>(bound, std::nanf(""))), device_gate(gate);
  const DeviceArray<std::int32_t> device_offsets(offsets), device_token(token), device_experts(expert_of_row);
  const DeviceArray<double> sums(std::vector<double>(6, 0.0));

  TatrProblem problem{static_cast<std::int32_t>(experts), test.n, test.k, test.tile_rows, weights ? rows : bound};
  problem.gather = test.gather;
  problem.kind = weights ? GemmKind::kWeightGradient : keep ? GemmKind::kRaggedRows : GemmKind::kDataGradient;
  problem.swiglu = problem.keep = keep;
  problem.swiglu_gradient = swiglu;
  problem.transpose = transpose;
  problem.gradient = test.gradient;
  TatrPlan plan = make_plan(problem, current_tatr_device());
  plan.schedule = test.schedule;
  const DeviceArray<float> parts(column_tiles_of(plan) * bound);
  const DeviceArray<std::int32_t> queue(std::vector<std::int32_t>{0, 0});
  TatrBuffers buffers{a.data(), device_token.data(), w.data(), device_offsets.data(), c.data(), queue.data()};
  buffers.product = keep ? other.data() : product.data();
  buffers.gate = device_gate.data();
  buffers.weighted = other.data();
  buffers.gate_gradient = gate_gradient.data();
  buffers.gate_parts = parts.data();
  const TatrGemm gemm(plan, buffers);
  gemm.launch(nullptr);
  gemm.launch(nullptr);  // the queue must be as the first launch found it
  TATR_CUDA_CHECK(cudaDeviceSynchronize());
  const std::int64_t blocks = weights ? experts * test.n : rows;
  if (blocks > 0) {
    compare_gradient<<<static_cast<unsigned>(blocks), 256>>>(
        {test.kind, a.data(), w.data(), product.data(), device_token.data(), device_experts.data(),
         device_offsets.data(), device_gate.data(), test.n, test.k, test.gather},
        {c.data(), other.data(), other.data(), gate_gradient.data(), fp32}, sums.data());
    TATR_CHECK_LAUNCH(compare_gradient);
  }
  TATR_CUDA_CHECK(cudaDeviceSynchronize());
  const std::vector<double> found = sums.to_host();
  const auto error = [&](int place) { return std::sqrt(found[place] / std::max(found[place + 1], 1e-12)); };
  GradientErrors errors{error(0), error(2), error(4), c.touched_from(asked * elements) + other.touched_from(second)};
  const std::vector<float> gates = gate_gradient.to_host();
  errors.touched += std::count_if(gates.begin() + (swiglu ? rows : 0), gates.end(), [](float g) { return g == g; });
  return errors;
}

inline std::vector<GradientCase> gradient_cases(bool small) {
  using enum GradientKind;
  const std::vector<std::int32_t> ragged{130, 0, 1, 127, 128, 129, 0, 255, 256, 257, 64, 65, 384, 0};
  const std::vector<std::pair<std::string, GradientKind>> kinds = {{"keep", kKeep},
                                                                   {"data gradient", kData},
                                                                   {"gradient through SwiGLU", kSwiglu},
                                                                   {"weight gradient", kWeights},
                                                                   {"weight gradient, transposed", kWeightsTransposed}};
  std::vector<GradientCase> cases;
  for (const auto& [what, kind] : kinds) {
    const bool weights = kind == kWeights || kind == kWeightsTransposed;
    for (const std::int32_t tile : {64, 128, 256}) {
      for (const bool gather : {false, true}) {
        const std::string name = what + (gather ? " gather, tile " : ", tile ") + std::to_string(tile);
        const auto add = [&](const char* of, std::vector<std::int32_t> counts, std::int64_t n, std::int64_t k) {
          cases.push_back({name + ", " + of, kind, std::move(counts), n, k, tile, gather});
        };
        if (weights && tile != 128) continue;
        if (small) {
          add("small", {130, 0, 300, 1}, 528, 328);
          continue;
        }
        add("ragged", ragged, 1024, 512);
        add("multiples of 8 only", ragged, 784, 264);
        add("narrow", ragged, 16, 1032);
        add("short k", {300, 5, 0, 700}, 272, 8);
        add("k of two blocks", {300, 5, 0, 700}, 48, 128);
        add("long k", {300, 5, 0, 700}, 512, 2048);
        add("rounded", {256, 512, 0, 1024, 256, 768}, 2048, 1024);
        add("one row", {0, 0, 1, 0}, 512, 256);
        add("no rows", {0, 0, 0}, 512, 256);
        add("all to one", {0, 6000, 0, 0}, 1024, 512);
        add("one expert", {1000}, 528, 72);
        std::vector<std::int32_t> many(300);
        for (std::size_t e = 0; e < many.size(); ++e) many[e] = static_cast<std::int32_t>(e * 37 % 90);
        add("many experts", many, 256, 192);
      }
    }
  }
  for (std::size_t i = 0, count = cases.size(); i < count; ++i) {
    GradientCase other = cases[i];
    if (other.kind == kData && !other.gather) {
      other.name += ", ping-pong";
      other.schedule = Schedule::kPingPong;
    } else if (other.kind == kWeights || other.kind == kWeightsTransposed) {
      other.name += ", fp32";
      other.gradient = DType::kFp32;
    } else {
      continue;
    }
    cases.push_back(other);
  }
  return cases;
}

}  // namespace tatr::testing
