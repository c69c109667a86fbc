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

void check_all(const std::vector<std::int32_t>& offsets, std::int64_t n, std::int64_t k) {
  check_back_end("openblas", offsets, n, k);
  check_back_end("reference", offsets, n, k);
}

}  // namespace

TEST_CASE("grouped GEMM with ragged counts, a single row, and none") { check_all({0, 5, 5, 6, 30}, 24, 16); }
TEST_CASE("grouped GEMM with all rows on one expert") { check_all({0, 0, 40, 40}, 8, 8); }
TEST_CASE("grouped GEMM with one expert and with no rows at all") {
  check_all({0, 9}, 16, 40);
  check_all({0, 0, 0}, 16, 40);
}
