// Numbers, paragraphs and tables of the text report.
#include "core/format.hpp"

#include <limits>

#include "catch.hpp"

using namespace tatr;

TEST_CASE("counts carry thousands", "[report][format]") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(16384) == "16,384");
  CHECK(format_count(-1234567) == "-1,234,567");
}

TEST_CASE("shares in percent", "[report][format]") {
  CHECK(format_percent(0.673) == "67.3%");
  CHECK(format_percent(1) == "100%");
  CHECK(format_percent(0.99999) == "100.0%");
  CHECK(format_percent(0) == "0%");
  CHECK(format_percent(0.0063) == "0.63%");
  CHECK(format_percent(std::numeric_limits<double>::quiet_NaN()) == "-");
}

TEST_CASE("values in three digits", "[report][format]") {
  CHECK(format_value(4.82) == "4.82");
  CHECK(format_value(0.012) == "0.012");
  CHECK(format_value(131072) == "131,072");
  CHECK(format_value(0.0) == "0");
  CHECK(format_value(10.04) == "10");
  CHECK(format_value(100.4) == "100");
  CHECK(format_value(0.00001) == "1.0e-05");
  CHECK(format_value(std::nullopt) == "-");
}

TEST_CASE("widths are code points", "[report][format]") {
  CHECK(display_width("→ 1×") == 4);
  CHECK(display_width("专家 é") == 6);
  CHECK(display_width("\xe4\xb8") == 1);  // cut off
  CHECK(shorten("专家路由", 5) == "专家…");
  CHECK(shorten("abcdef", 4) == "abc…");
  CHECK(shorten("→→→→", 3) == "→→…");
  CHECK(shorten("abc", 3) == "abc");
  CHECK(shorten("a\x1b[31m\nb", 20) == "a [31m b");
}

TEST_CASE("paragraphs wrap at 80 columns", "[report][format]") {
  const std::string text = wrap(std::string(60, 'a') + " " + std::string(30, 'b'), 2, 2);
  CHECK(text == "  " + std::string(60, 'a') + "\n    " + std::string(30, 'b') + "\n");
  CHECK(wrap(std::string(100, 'x')) == std::string(100, 'x') + "\n");
  CHECK(wrap("").empty());
}

TEST_CASE("tables leave out what says nothing", "[report][format]") {
  Table table({"Name", "Zero", "Value", "Kept"});
  table.add_row({"one", "0", "12", "0"});
  table.add_row({"three", "-", "3", "0"});
  table.keep(3);
  CHECK(table.render(0) ==
        "Name   Value  Kept\n"
        "------------------\n"
        "one       12     0\n"
        "three      3     0\n");
}

TEST_CASE("wide tables split and repeat the first column", "[report][format]") {
  Table table({"Name", std::string(40, 'p'), std::string(40, 'q')});
  table.add_row({"one", "1", "2"});
  const std::string text = table.render(0);
  CHECK(text.find("Name") != text.rfind("Name"));
  CHECK(text.find("q") > text.find("\n\n"));
}
