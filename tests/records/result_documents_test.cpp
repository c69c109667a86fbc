// Results read back: one or several in a text, what is refused, and what is let pass.
#include "records/result_documents.hpp"

#include "catch.hpp"
#include "core/error.hpp"
#include "records/result_writer.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;
using Catch::Matchers::Contains;

TEST_CASE("a result is read as it was written", "[report][results]") {
  const auto written = to_json(run_of(timed_experiment()));
  for (const int indent : {-1, 1}) {
    const auto results = parse_result_documents(written.dump(indent), "x.json");
    REQUIRE(results.size() == 1);
    CHECK(results[0].source == "x.json");
    CHECK(results[0].document == nlohmann::json(written));
  }
}

TEST_CASE("JSONL holds a result a line", "[report][results]") {
  const std::string line = to_json(run_of(experiment())).dump();
  const auto results = parse_result_documents(line + "\n\n" + line + "\r\n", "x.jsonl");
  REQUIRE(results.size() == 2);
  CHECK(results[0].source == "x.jsonl (line 1)");
  CHECK(results[1].source == "x.jsonl (line 3)");
}

TEST_CASE("keys may be missing or unknown, but not of another type", "[report][results]") {
  auto result = to_json(run_of(timed_experiment()));
  auto& strategy = result["experiments"][0]["strategies"][0];
  SECTION("missing") { strategy["timing"].erase("floors"); }
  SECTION("unknown") { strategy["timing"]["later"] = 1; }
  SECTION("nearly everything missing") {
    result = {{"schema_version", "1.0"}, {"experiments", {{{"name", "x"}, {"strategies", nlohmann::json::array()}}}}};
  }
  CHECK(parse_result_documents(result.dump(), "x.json").size() == 1);
}

TEST_CASE("what is no result is refused with its place", "[report][results]") {
  auto result = to_json(run_of(timed_experiment()));
  const auto refusal = [](const std::string& text) -> std::string {
    try {
      parse_result_documents(text, "x.json");
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  auto& strategy = result["experiments"][0]["strategies"][0];
  SECTION("a wrong type") {
    strategy["timing"]["layer_ms"]["median"] = "4";
    CHECK_THAT(refusal(result.dump()), Contains("x.json:/experiments/0/strategies/0/timing/layer_ms/median"));
  }
  SECTION("no label") {
    strategy.erase("label");
    CHECK_THAT(refusal(result.dump()), Contains("x.json:/experiments/0/strategies/0") && Contains("label"));
  }
  SECTION("another version") {
    result["schema_version"] = "3.0";
    CHECK_THAT(refusal(result.dump()), Contains("x.json:/schema_version") && Contains("2.3"));
  }
  SECTION("a broken line") {
    CHECK_THAT(refusal(result.dump() + "\n{"), Contains("x.json (line 2)") && Contains("not valid JSON"));
  }
  SECTION("nothing") { CHECK_THAT(refusal(""), Contains("x.json") && Contains("empty")); }
}
