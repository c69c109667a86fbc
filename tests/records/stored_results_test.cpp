// Files of results: looked through for what they hold, given out one by one, joined.
#include "records/stored_results.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "core/error.hpp"
#include "records/result_file.hpp"
#include "records/result_writer.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

RunRecord run_named(const std::string& name, const std::string& hash = "0123456789abcdef") {
  ExperimentRecord record = timed_experiment();
  record.config.name = name;
  record.config.hash = hash;
  record.config.router.source.options = TraceSource{};
  record.trace_digest = "feed";
  return run_of(record);
}

std::string line_of(const RunRecord& run) { return json_text(run, -1); }

StoredResult stored(const std::string& text, const std::string& place) {
  return split_results(parse_documents(text, place)).at(0);
}

struct TemporaryFile {
  explicit TemporaryFile(const std::string& content)
      : path((fs::temp_directory_path() / ("tatr-stored-" + std::to_string(getpid()))).string()) {
    std::ofstream(path, std::ios::binary) << content;
  }
  ~TemporaryFile() { fs::remove(path); }
  std::string path;
};

}  // namespace

TEST_CASE("a scan finds what tells results apart, and nothing else", "[report][stored]") {
  const auto keys = scan_result(line_of(run_named("a \"b\"")));
  REQUIRE(keys.has_value());
  REQUIRE(keys->size() == 1);
  CHECK(keys->at(0).name == "a \"b\"");  // neither a strategy's nor the calibration's name
  CHECK(keys->at(0).config_hash == "0123456789abcdef");
  CHECK(keys->at(0).device == "cpu");
  CHECK(keys->at(0).trace_digest == "feed");
  CHECK(keys->at(0).calibration_digest.empty());
  RunRecord two = run_named("a");
  two.experiments.push_back(run_named("b").experiments[0]);
  CHECK(scan_result(json_text(two, 2))->at(1).name == "b");
  two.experiments.clear();
  CHECK(scan_result(line_of(two))->empty());
}

TEST_CASE("a scan takes no text for a result that is none", "[report][stored]") {
  auto document = to_json(run_named("a"));
  SECTION("cut") { CHECK_FALSE(scan_result(document.dump().substr(0, 500))); }
  SECTION("no JSON") { CHECK_FALSE(scan_result("results")); }
  SECTION("no object") { CHECK_FALSE(scan_result("[1]")); }
  SECTION("another version") {
    document["schema_version"] = "3.0";
    CHECK_FALSE(scan_result(document.dump()));
  }
  SECTION("no name") {
    document["experiments"][0].erase("name");
    CHECK_FALSE(scan_result(document.dump()));
  }
  SECTION("a hash that is none") {
    document["experiments"][0]["config_hash"] = 1;
    CHECK_FALSE(scan_result(document.dump()));
  }
  SECTION("no list") {
    document["experiments"] = "none";
    CHECK_FALSE(scan_result(document.dump()));
  }
}

TEST_CASE("a file gives its experiments in any order", "[report][stored]") {
  RunRecord two = run_named("b");
  two.experiments.push_back(run_named("c").experiments[0]);
  const TemporaryFile content(line_of(run_named("a")) + "\n\n" + line_of(two) + "\r\n");
  ResultFile file(content.path);
  REQUIRE(file.keys().size() == 3);
  for (const std::size_t i : {2, 0, 1, 1}) {
    CHECK(file.load(i).name() == std::string(1, static_cast<char>('a' + i)));
    CHECK(file.load(i).document["experiments"].size() == 1);
  }
  CHECK(file.place(2) == content.path + " (line 3)");
  std::ofstream(content.path) << "{}";
  CHECK_THROWS_AS(file.load(0), ConfigError);
}

TEST_CASE("one name stands for one config in what is joined", "[report][stored]") {
  MergedResults merged;
  CHECK(merged.add(stored(line_of(run_named("a")), "x")));
  CHECK_FALSE(merged.add(stored(line_of(run_named("a")), "y")));
  RunRecord elsewhere = run_named("a");
  elsewhere.environment.device = "another";
  CHECK(merged.add(stored(line_of(elsewhere), "z")));
  CHECK(merged.add(stored(line_of(run_named("b", "fedcba9876543210")), "z")));
  CHECK_THROWS_WITH(merged.add(stored(line_of(run_named("a", "fedcba9876543210")), "z")),
                    Contains("z: holds experiment \"a\" of config fedcba9876543210, and x one of config 0123"));
  RunRecord other = run_named("a");
  other.experiments[0].strategies[1].metrics.dropped = 5;
  CHECK_THROWS_WITH(merged.add(stored(line_of(other), "z")), Contains("z: differs from x"));
  other = run_named("a");
  other.experiments[0].strategies[1].timing->layer_ms = series({9.0, 9.0}, 9.0);
  CHECK_FALSE(merged.add(stored(line_of(other), "z")));
}

TEST_CASE("changes of a config in words", "[report][stored]") {
  const auto parse = [](const char* text) { return nlohmann::json::parse(text); };
  CHECK(describe_changes(parse(R"({"a": 1})"), parse(R"({"a": 1})")).empty());
  CHECK(describe_changes(parse(R"({"a": {"b": 1}, "c": [8]})"), parse(R"({"a": {"b": 2}, "c": [8, 16]})")) ==
        "/a/b: 1 → 2, /c/-: nothing → 16");
  CHECK(describe_changes(parse(R"({"a": 1, "b": 1, "c": 1, "d": 1})"), parse("{}")).find(" and 1 more") !=
        std::string::npos);
}
