// The page as text: what is in it, and that results cannot act as markup. tests/cli/report_test.py opens it in a
// browser.
#include "report/html_page.hpp"

#include <string>

#include "catch.hpp"
#include "records/result_writer.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

std::string page_of(const std::string& name) {
  ExperimentRecord record = timed_experiment();
  record.config.name = name;
  PageResults results;
  results.add({name + ".json", to_json(run_of(record))});
  std::string page;
  write_page(results, [&](std::string_view part) { page += part; });
  return page;
}

/// The results that a page carries, as its script reads them.
nlohmann::json carried(const std::string& page) {
  const std::string start = "<script type=\"application/json\" id=\"results\">";
  const std::size_t from = page.find(start) + start.size();
  return nlohmann::json::parse(page.substr(from, page.find("</script>", from) - from));
}

}  // namespace

TEST_CASE("a page carries style, script and results", "[report][page]") {
  const std::string page = page_of("sample");
  CHECK(page.rfind("<!doctype html>", 0) == 0);
  CHECK(page.find(kPageStyle) != std::string::npos);
  CHECK(page.find(kPageScript) != std::string::npos);
  CHECK(page.find("{{") == std::string::npos);
  CHECK(carried(page)[0]["result"] == nlohmann::json(to_json(run_of(timed_experiment()))));
  CHECK(count_of(page, "</script>") == 2);
}

TEST_CASE("a page names no other place to load from", "[report][page]") {
  const std::string page = page_of("sample");
  for (const char* part : {"src=", "href=", "@import", "https:", "url(http"})
    CHECK(page.find(part) == std::string::npos);
  CHECK(count_of(page, "http://") == 1);
  CHECK(page.find("http://www.w3.org/2000/svg") != std::string::npos);  // the name of SVG, which nothing loads
  CHECK(page.find("default-src 'none'") != std::string::npos);
}

TEST_CASE("names cannot leave the results", "[report][page]") {
  const std::string plain = page_of("sample");
  for (const char* name : {"</script><script>alert(1)</script>", "<!--<script>", "&lt;b&gt;", "{{script}}{{results}}",
                           "\"]}'\\", "\xe2\x80\xa8line"}) {
    const std::string page = page_of(name);
    CHECK(carried(page)[0]["result"]["experiments"][0]["name"] == name);
    for (const char* markup : {"<script", "</script", "<!--"}) CHECK(count_of(page, markup) == count_of(plain, markup));
  }
}

TEST_CASE("bytes that are no UTF-8 are replaced", "[report][page]") {
  CHECK(carried(page_of("\xff"))[0]["result"]["experiments"][0]["name"] == "\xef\xbf\xbd");
}
