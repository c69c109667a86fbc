#include "measure/clocks.hpp"

#include "catch.hpp"

using namespace tatr;

TEST_CASE("a clock that fell by more than 3 % is a warning; an unknown one is none") {
  CHECK(clock_warning({1980, 500}, {1900, 690})->find("1980 to 1900") != std::string::npos);
  CHECK_FALSE(clock_warning({1980, 500}, {1930, 690}));
  CHECK_FALSE(clock_warning({1500, {}}, {1900, {}}));
  CHECK_FALSE(clock_warning({}, {1900, {}}));
}
