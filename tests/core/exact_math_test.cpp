#include "core/exact_math.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"

using namespace tatr;

namespace {

/// Distance between two positive floats in units of the last place of the second.
double ulps(double value, double exact) {
  const double spacing = std::nextafter(static_cast<float>(exact), std::numeric_limits<float>::infinity()) -
                         static_cast<double>(static_cast<float>(exact));
  return std::abs(value - exact) / spacing;
}

}  // namespace

TEST_CASE("exact_exp is within 2 ulp of e^x, and 0 where the result would be subnormal") {
  double worst = 0;
  for (int i = -87000; i < 88000; ++i) {
    const float x = static_cast<float>(i) * 1e-3f;
    worst = std::max(worst, ulps(exact_exp(x), std::exp(static_cast<double>(x))));
  }
  CHECK(worst < 2.0);
  CHECK(exact_exp(0.0f) == 1.0f);
  CHECK(exact_exp(-0.0f) == 1.0f);
  CHECK(exact_exp(-87.31f) == 0.0f);
  CHECK(exact_exp(-3e38f) == 0.0f);
  CHECK(std::isfinite(exact_exp(3e38f)));
}

TEST_CASE("softmax_term is within 4 * 2^-24 of e^x down to -30, 1 at 0, and e^-87.3 below that") {
  double worst = 0.0;
  for (float x = -30.0f; x <= 0.0f; x += 0.00037f) {
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(softmax_term(x) - exact) / exact);
  }
  CHECK(worst < 4 * 0x1p-24);
  CHECK(softmax_term(0.0f) == 1.0f);
  CHECK(softmax_term(-0.0f) == 1.0f);
  CHECK(softmax_term(-3e38f) == softmax_term(kLowestExponent));
  CHECK(softmax_term(kLowestExponent) / std::exp(static_cast<double>(kLowestExponent)) == Approx(1.0).epsilon(1e-6));
}

TEST_CASE("exact_exp does not decrease from one float to the next by more than its error") {
  for (float x = -1.0f; x < -0.99f; x = std::nextafter(x, 0.0f)) {
    REQUIRE(exact_exp(std::nextafter(x, 0.0f)) >= exact_exp(x) - 1.2e-7f);
  }
}

TEST_CASE("exact_log is within 2 ulp of ln x") {
  double worst = 0;
  for (int i = 1; i < 200000; ++i) {
    const float x = static_cast<float>(i) * 0.01f;
    if (x == 1.0f) continue;
    const double exact = std::log(static_cast<double>(x));
    worst = std::max(worst, ulps(std::abs(exact_log(x)), std::abs(exact)));
  }
  CHECK(worst < 2.0);
  CHECK(exact_log(1.0f) == 0.0f);
}

TEST_CASE("exact_sigmoid has its limits") {
  CHECK(exact_sigmoid(0.0f) == 0.5f);
  CHECK(exact_sigmoid(100.0f) == 1.0f);
  CHECK(exact_sigmoid(-100.0f) > 0.0f);
  CHECK(exact_sigmoid(-100.0f) < 1e-37f);
}

TEST_CASE("normal_quantile inverts the normal distribution function") {
  for (const double p : {1e-6, 1e-3, 0.025, 0.07, 0.2, 0.5, 0.8, 0.93, 0.975, 0.999}) {
    const double z = normal_quantile(static_cast<float>(p));
    CHECK(0.5 * std::erfc(-z / std::sqrt(2.0)) == Approx(static_cast<double>(static_cast<float>(p))).epsilon(2e-5));
  }
  CHECK(normal_quantile(0.5f) == 0.0f);
  CHECK(normal_from_bits(0) == -normal_from_bits(0xFFFFFFFFu));
}
