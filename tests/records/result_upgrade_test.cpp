// A result that version 1.0 of the program wrote, read by this one.
#include "records/result_upgrade.hpp"

#include <nlohmann/json.hpp>

#include "analysis/compare.hpp"
#include "catch.hpp"
#include "core/error.hpp"
#include "records/result_file.hpp"
#include "records/result_writer.hpp"
#include "sample_run.hpp"

using namespace tatr;

namespace {

const std::string kFirst = std::string(TATR_TEST_DATA) + "/records/result_1_0.jsonl";

}  // namespace

TEST_CASE("a result of schema version 1.0 is read as one of 2.3: what did not run is null", "[records]") {
  ResultFile file(kFirst);
  REQUIRE(file.keys().size() == 1);
  CHECK(file.keys()[0].schema_version == "1.0");
  const StoredResult result = file.load(0);  // strictly as the schema has it
  CHECK(result.document["schema_version"] == "2.3");
  const nlohmann::json& timing = result.experiment()["strategies"][1]["timing"];
  CHECK(timing["layer_ms"]["n"] == 10);
  CHECK(timing["end_to_end_counts"] == nlohmann::json({"routing", "rounding", "layer"}));
}

TEST_CASE("in version 1.0 what did not run took no time", "[records]") {
  nlohmann::json series = {{"samples", {0.0, 0.0}}, {"median", 0.0}};
  nlohmann::json document = {{"schema_version", "1.0"},
                             {"experiments",
                              {{{"strategies",
                                 {{{"timing",
                                    {{"route_us", series},
                                     {"gather_ms", series},
                                     {"layer_ms", {{"samples", {1.0, 0.0}}}},
                                     {"activation_ms", {{"samples", {0.002, 0.002}}}},
                                     {"fused", {{"gather", false}, {"swiglu", true}}},
                                     {"end_to_end_speedup", {{"value", 1.0}}}}}}}}}}}};
  upgrade_result(document);
  const nlohmann::json& timing = document["experiments"][0]["strategies"][0]["timing"];
  CHECK(timing["route_us"].is_null());
  CHECK(timing["gather_ms"].is_null());
  CHECK(timing["activation_ms"].is_null());  // fused: only what events take
  CHECK(timing["layer_ms"].is_object());
  CHECK(timing["end_to_end_counts"] == nlohmann::json({"rounding", "layer"}));
  CHECK(document["experiments"][0]["strategies"][0]["dropped"].is_null());
  document["schema_version"] = "0.9";
  const nlohmann::json before = document;
  upgrade_result(document);
  CHECK(document == before);
}

TEST_CASE("before version 2.1 all times were measured", "[records]") {
  nlohmann::json document = nlohmann::json::parse(to_json(test::run_of(test::timed_experiment())).dump());
  const nlohmann::json now = document;
  document["schema_version"] = "2.0";
  nlohmann::json& experiment = document["experiments"][0];
  experiment.erase("model");
  for (nlohmann::json& strategy : experiment["strategies"]) strategy["timing"].erase("kind");
  for (nlohmann::json& network : experiment["network"]) network.erase("timing_kind");
  upgrade_result(document);
  CHECK(document == now);
}

TEST_CASE("before version 2.3 all passes went forward, and nothing was kept of them", "[records]") {
  ExperimentRecord record = test::timed_experiment();
  record.strategies[1].batches.emplace().worst_timing = record.strategies[1].timing;
  nlohmann::json document = nlohmann::json::parse(to_json(test::run_of(record)).dump());
  const nlohmann::json now = document;
  document["schema_version"] = "2.2";
  const auto make_old = [](nlohmann::json& timing) {
    for (const char* key : {"pass", "kept_bytes_per_row", "forward_ms", "backward_ms", "wgrad_up_ms", "gather_again_ms",
                            "forward_speedup", "backward_hardware_tflops"}) {
      REQUIRE(timing.erase(key) == 1);
    }
    for (const char* gemm : {"dgrad_down", "wgrad_down", "dgrad_up", "wgrad_up"}) {
      timing["floors"].erase(gemm);
      timing["kernels"].erase(gemm);
    }
    timing.erase("granules");
  };
  for (nlohmann::json& strategy : document["experiments"][0]["strategies"]) make_old(strategy["timing"]);
  make_old(document["experiments"][0]["strategies"][1]["batches"]["worst_timing"]);
  CHECK(document != now);
  upgrade_result(document);
  CHECK(document == now);
}

TEST_CASE("the first results of version 2.3, without what it got later, are read", "[records]") {
  ExperimentRecord record = test::timed_experiment();
  record.strategies[1].batches.emplace().worst_timing = record.strategies[1].timing;
  nlohmann::json document = nlohmann::json::parse(to_json(test::run_of(record)).dump());
  const nlohmann::json now = document;
  const auto make_early = [](nlohmann::json& timing) {
    REQUIRE(timing.erase("granules") == 1);
    for (const char* gemm : {"dgrad_down", "wgrad_down", "dgrad_up", "wgrad_up"}) {
      REQUIRE(timing["kernels"].erase(gemm) == 1);
    }
  };
  for (nlohmann::json& strategy : document["experiments"][0]["strategies"]) make_early(strategy["timing"]);
  make_early(document["experiments"][0]["strategies"][1]["batches"]["worst_timing"]);
  upgrade_result(document);
  CHECK(document == now);
}

TEST_CASE("results of one major schema version are compared", "[records]") {
  ResultFile base(kFirst), next(kFirst);
  ExperimentSource older = source_of(base), newer = source_of(next);
  older.keys[0].schema_version = "2.0";
  newer.keys[0].schema_version = "2.1";
  CHECK_NOTHROW(compare_results(older, newer, {}, true));
}

TEST_CASE("results of two schema versions are not compared", "[records]") {
  ResultFile base(kFirst), next(kFirst);
  ExperimentSource newer = source_of(next);
  CHECK_NOTHROW(compare_results(source_of(base), newer, {}, true));
  newer.keys[0].schema_version = "2.0";
  try {
    compare_results(source_of(base), newer, {}, true);
    FAIL("no error");
  } catch (const EnvironmentError& error) {
    CHECK(std::string(error.what()).find("another schema version: \"1.0\" in BASE and \"2.0\" in NEW") !=
          std::string::npos);
  }
}
