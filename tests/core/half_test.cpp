#include "core/half.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include "catch.hpp"

using namespace tatr;

namespace {

std::uint32_t bits(float value) { return std::bit_cast<std::uint32_t>(value); }

}  // namespace

TEST_CASE("every half becomes the fp32 of the same value", "[half]") {
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    const int exponent = (h >> 10) & 0x1f;
    const int fraction = h & 0x3ff;
    const float value = float_from_half(static_cast<std::uint16_t>(h));
    if (exponent == 31 && fraction != 0) {
      REQUIRE(std::isnan(value));
      continue;
    }
    float expected = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                   : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    if (exponent == 31) expected = std::numeric_limits<float>::infinity();
    REQUIRE(bits(value) == bits(h & 0x8000 ? -expected : expected));
  }
}

TEST_CASE("half: known bits", "[half]") {
  CHECK(float_from_half(0x3c00) == 1.0f);
  CHECK(float_from_half(0xc000) == -2.0f);
  CHECK(float_from_half(0x7bff) == 65504.0f);
  CHECK(float_from_half(0x0001) == 0x1p-24f);
  CHECK(float_from_half(0x03ff) == 1023 * 0x1p-24f);
  CHECK(bits(float_from_half(0x8000)) == 0x80000000u);
  CHECK(bits(float_from_half(0xfe01)) == 0xffc02000u);  // a NaN keeps sign and payload
}

TEST_CASE("every bfloat16 survives the way to fp32 and back", "[half]") {
  for (std::uint32_t b = 0; b < 0x10000; ++b) {
    const float value = float_from_bfloat16(static_cast<std::uint16_t>(b));
    const std::uint32_t back = bfloat16_from_float(value);
    if (std::isnan(value)) {
      REQUIRE(back == (b | 0x40u));  // quiet
    } else {
      REQUIRE(back == b);
    }
  }
}

TEST_CASE("fp32 to bfloat16 rounds to nearest, ties to even", "[half]") {
  const auto rounded = [](std::uint32_t f) { return bfloat16_from_float(std::bit_cast<float>(f)); };
  CHECK(rounded(0x3f807fff) == 0x3f80);
  CHECK(rounded(0x3f808000) == 0x3f80);  // tie, even below
  CHECK(rounded(0x3f808001) == 0x3f81);
  CHECK(rounded(0x3f818000) == 0x3f82);  // tie, even above
  CHECK(rounded(0xbf818000) == 0xbf82);
  CHECK(rounded(0x00008000) == 0x0000);  // subnormals round like the rest
  CHECK(rounded(0x00018000) == 0x0002);
  CHECK(rounded(0x7f7f7fff) == 0x7f7f);
  CHECK(rounded(0x7f7f8000) == 0x7f80);  // past the largest: infinity
  CHECK(rounded(0x7f800001) == 0x7fc0);  // a NaN never becomes infinity
  CHECK(rounded(0xffffffff) == 0xffff);
}
