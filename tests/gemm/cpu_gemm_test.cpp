#include "catch.hpp"
#include "core/exact_math.hpp"
#include "core/philox.hpp"
#include "gemm/registry.hpp"

using namespace tatr;

namespace {

std::vector<float> random_values(std::size_t count, std::uint32_t tensor) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = normal_from_bits(random_bits(3, Stream::kTensor, static_cast<std::uint32_t>(i), tensor));
  }
  return values;
}

/// Every element against a plain sum in fp64.
void check_back_end(const char* name, const std::vector<std::int32_t>& offsets, std::int64_t n, std::int64_t k) {
  const auto cpu = make_cpu_system();
  const auto experts = static_cast<std::int64_t>(offsets.size()) - 1;
  const auto rows = static_cast<std::size_t>(offsets.back());
  const std::vector<float> a = random_values(rows * k, 0),
                           w = random_values(static_cast<std::size_t>(experts * n * k), 1);
  std::vector<float> c(rows * n, NAN);
  GroupedGemmProblem problem;
  problem.experts = experts;
  problem.n = n;
  problem.k = k;
  find_back_end(name)->make(*cpu, problem, offsets, {a.data(), w.data(), c.data(), offsets.data(), nullptr})->run();
  for (std::int64_t e = 0; e < experts; ++e) {
    for (std::int64_t row = offsets[e]; row < offsets[e + 1]; ++row) {
      for (std::int64_t column = 0; column < n; ++column) {
        double sum = 0;
        for (std::int64_t i = 0; i < k; ++i) sum += static_cast<double>(a[row * k + i]) * w[(e * n + column) * k + i];
        REQUIRE(c[row * n + column] == Approx(sum).epsilon(1e-4).margin(1e-4));
      }
    }
  }
}

enum class Way { kPlain, kTransposed };

/// Of both kinds that gradients ask for. A weight gradient of an expert without rows is zeros.
void check_data_gradient(const char* name, const std::vector<std::int32_t>& offsets, std::int64_t n, std::int64_t k) {
  const auto cpu = make_cpu_system();
  const auto experts = static_cast<std::int64_t>(offsets.size()) - 1;
  const auto rows = static_cast<std::size_t>(offsets.back());
  const std::vector<float> a = random_values(rows * k, 0),
                           w = random_values(static_cast<std::size_t>(experts * n * k), 1);
  std::vector<float> c(rows * n, NAN);
  GroupedGemmProblem problem;
  problem.kind = GemmKind::kDataGradient;
  problem.experts = experts;
  problem.n = n;
  problem.k = k;
  find_back_end(name)->make(*cpu, problem, offsets, {a.data(), w.data(), c.data(), offsets.data(), nullptr})->run();
  for (std::int64_t e = 0; e < experts; ++e) {
    for (std::int64_t row = offsets[e]; row < offsets[e + 1]; ++row) {
      for (std::int64_t column = 0; column < n; ++column) {
        double sum = 0;
        for (std::int64_t i = 0; i < k; ++i) sum += static_cast<double>(a[row * k + i]) * w[(e * k + i) * n + column];
        REQUIRE(c[row * n + column] == Approx(sum).epsilon(1e-4).margin(1e-4));
      }
    }
  }
}

void check_weight_gradient(const char* name, const std::vector<std::int32_t>& offsets, std::int64_t n, std::int64_t k,
                           Way way) {
  const auto cpu = make_cpu_system();
  const auto experts = static_cast<std::int64_t>(offsets.size()) - 1;
  const auto rows = static_cast<std::size_t>(offsets.back());
  const std::vector<float> a = random_values(rows * n, 0), w = random_values(rows * k, 1);
  std::vector<float> c(static_cast<std::size_t>(experts * n * k), NAN);
  GroupedGemmProblem problem;
  problem.kind = GemmKind::kWeightGradient;
  problem.experts = experts;
  problem.n = n;
  problem.k = k;
  problem.transpose = way == Way::kTransposed;
  find_back_end(name)->make(*cpu, problem, offsets, {a.data(), w.data(), c.data(), offsets.data(), nullptr})->run();
  for (std::int64_t e = 0; e < experts; ++e) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < k; ++j) {
        double sum = 0;
        for (std::int64_t row = offsets[e]; row < offsets[e + 1]; ++row) {
          sum += static_cast<double>(a[row * n + i]) * w[row * k + j];
        }
        const float own = c[e * n * k + (problem.transpose ? j * n + i : i * k + j)];
        REQUIRE(own == Approx(sum).epsilon(1e-4).margin(1e-4));
      }
    }
  }
}

void check_all(const std::vector<std::int32_t>& offsets, std::int64_t n, std::int64_t k) {
  for (const char* name : {"openblas", "reference"}) {
    check_back_end(name, offsets, n, k);
    check_data_gradient(name, offsets, n, k);
    for (const Way way : {Way::kPlain, Way::kTransposed}) check_weight_gradient(name, offsets, n, k, way);
  }
}

}  // namespace

TEST_CASE("grouped GEMM with ragged counts, a single row, and none") { check_all({0, 5, 5, 6, 30}, 24, 16); }
TEST_CASE("grouped GEMM with all rows on one expert") { check_all({0, 0, 40, 40}, 8, 8); }
TEST_CASE("grouped GEMM with one expert and with no rows at all") {
  check_all({0, 9}, 16, 40);
  check_all({0, 0, 0}, 16, 40);
}
TEST_CASE("a long sum over rows, cut into pieces") { check_all({0, 300, 301}, 16, 24); }

TEST_CASE("what a back end on the CPU fuses, it says before work") {
  GroupedGemmProblem back;
  back.kind = GemmKind::kDataGradient;
  back.swiglu_gradient = true;
  GroupedGemmProblem kept;
  kept.swiglu = kept.keep = true;
  GroupedGemmProblem bf16;
  bf16.kind = GemmKind::kWeightGradient;
  bf16.gradient = DType::kBf16;
  for (const GroupedGemmProblem& problem : {back, kept}) {
    CHECK(find_back_end("reference")->why_not(problem, DeviceInfo{}).empty());
    CHECK(find_back_end("openblas")->why_not(problem, DeviceInfo{}) == "it fuses neither gather nor SwiGLU");
  }
  for (const char* name : {"openblas", "reference"})
    CHECK(find_back_end(name)->why_not(bf16, DeviceInfo{}) == "it takes fp32");
}
