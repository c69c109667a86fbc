#include "catch.hpp"
#include "gemm/gemm_check.cuh"
#include "gemm/gradient_check.cuh"

namespace tatr {

TEST_CASE("The grouped GEMM agrees with sums in fp32 and writes nothing else") {
  std::uint64_t seed = 1;
  for (const testing::GemmCase& test : testing::gemm_cases(false)) {
    INFO(test.name);
    const testing::GemmErrors errors = testing::check_gemm(test, ++seed);
    CHECK(errors.overall < 5e-3);
    CHECK(errors.worst_row < 1e-2);
    CHECK(errors.touched == 0);
  }
}

TEST_CASE("The GEMMs of the backward pass agree with sums in fp32 and write nothing else") {
  std::uint64_t seed = 100;
  for (const testing::GradientCase& test : testing::gradient_cases(false)) {
    INFO(test.name);
    const testing::GradientErrors errors = testing::check_gradient(test, ++seed);
    CHECK(errors.c < 5e-3);
    CHECK(errors.second < 5e-3);
    CHECK(errors.gate < 5e-3);
    CHECK(errors.touched == 0);
  }
}

}  // namespace tatr
