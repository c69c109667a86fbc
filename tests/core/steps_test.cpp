#include "core/steps.hpp"

#include "catch.hpp"

using namespace tatr;

TEST_CASE("the time left is told in a unit that fits") {
  CHECK(time_left_words(29.2) == "about 30 s left");
  CHECK(time_left_words(6000.0 - 1.0) == "about 100 min left");
  CHECK(time_left_words(36000.0) == "about 10.0 h left");
}

TEST_CASE("steps are counted, without a time before two seconds have passed, and not beyond the last") {
  Steps steps(2);
  CHECK(steps.words().empty());
  steps.next();
  CHECK(steps.words() == "1 of 2: ");
  steps.next();
  CHECK(steps.words() == "2 of 2: ");
  steps.next();
  CHECK(steps.words().empty());
  Steps one(1);
  one.next();
  CHECK(one.words().empty());
}
