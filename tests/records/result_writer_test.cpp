// The JSON result: its contract, nulls, and its own schema.
#include "records/result_writer.hpp"

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "analysis/advice.hpp"
#include "analysis/documented.hpp"
#include "catch.hpp"
#include "records/result_schema.hpp"
#include "report/advice_text.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

std::string violations(const nlohmann::ordered_json& result) {
  // The adapter reads plain json; the text between also proves that the result survives dump and parse.
  const nlohmann::json document = nlohmann::json::parse(result.dump());
  const nlohmann::json& text = result_schema();
  valijson::Schema schema;
  valijson::SchemaParser().populateSchema(valijson::adapters::NlohmannJsonAdapter(text), schema);
  valijson::ValidationResults results;
  valijson::Validator().validate(schema, valijson::adapters::NlohmannJsonAdapter(document), &results);
  std::ostringstream found;
  valijson::ValidationResults::Error error;
  while (results.popError(error)) {
    for (const std::string& place : error.context) found << place;
    found << ": " << error.description << "\n";
  }
  return found.str();
}

}  // namespace

TEST_CASE("a result validates against its schema", "[report][json]") {
  ExperimentRecord record = timed_experiment();
  record.config.documented = {{"speedup", "down", 8, 1.16, "a paper"}, {"dropped", "down", 0, 4, "a paper"}};
  record.network = summarise_network(record);
  record.documented = compare_documented(record);
  record.warnings = {"clocks fell"};
  CHECK(violations(to_json(run_of(record))) == "");
  CHECK(violations(to_json(run_of(experiment()))) == "");
  CHECK(violations(to_json(run_of(ExperimentRecord{}))) == "");
  CHECK(violations(to_json(RunRecord{})) == "");
  CHECK(violations(to_json(run_of(modelled_experiment("h100")))) == "");
}

TEST_CASE("a modelled time has a value and an interval, and no samples", "[report][json][model]") {
  const auto result = to_json(run_of(modelled_experiment("a100")));
  const auto& experiment = result["experiments"][0];
  const auto& timing = experiment["strategies"][0]["timing"];
  CHECK(timing["kind"] == "modelled");
  CHECK(timing["layer_ms"] == nlohmann::ordered_json({{"value", 4.0}, {"low", 3.5}, {"high", 4.5}}));
  CHECK(timing["gather_ms"].is_null());
  CHECK(experiment["network"][0]["timing_kind"] == "modelled");
  CHECK(experiment["network"][0]["layer_ms"] == 4.0);
  CHECK(experiment["network"][1]["speedup_of_sums"] == 2.0);
  CHECK(experiment["model"]["doubt"] == "datasheet, not validated");
  CHECK(to_json(run_of(timed_experiment()))["experiments"][0]["strategies"][0]["timing"]["kind"] == "measured");
}

TEST_CASE("the schema is strict", "[report][json]") {
  auto result = to_json(run_of(timed_experiment()));
  SECTION("an unknown key") { result["experiments"][0]["strategies"][0]["surprise"] = 1; }
  SECTION("a missing metric") { result["experiments"][0]["strategies"][0].erase("dropped_gate_mass"); }
  SECTION("no kind") { result["experiments"][0]["strategies"][0]["timing"].erase("kind"); }
  SECTION("a series of neither kind") { result["experiments"][0]["strategies"][0]["timing"]["layer_ms"].erase("n"); }
  SECTION("a number as a string") { result["experiments"][0]["strategies"][0]["rows"] = "20"; }
  SECTION("a bare perplexity") { result["experiments"][0]["strategies"][0]["estimated_perplexity_change"] = 0.1; }
  SECTION("an unknown verdict") {
    result["experiments"][0]["documented"].push_back({{"metric", "x"}, {"verdict", "perhaps"}});
  }
  SECTION("another version") { result["schema_version"] = "1.0"; }
  CHECK(violations(result) != "");
}

TEST_CASE("absent is null, never NaN", "[report][json]") {
  ExperimentRecord record = timed_experiment();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  record.strategies[1].metrics.dropped_gate_mass = nan;
  record.strategies[1].timing->speedup = RatioInterval{nan, nan, nan};
  record.strategies[1].timing->output_error = std::numeric_limits<double>::infinity();
  record.strategies[1].timing->variants[index_of(Stage::kDown)] = "ping-pong";
  const auto result = to_json(run_of(record));
  const auto& down = result["experiments"][0]["strategies"][1];
  CHECK(down["dropped_gate_mass"].is_null());
  CHECK(down["timing"]["speedup"].is_null());
  CHECK(down["timing"]["output_error"].is_null());
  CHECK(down["timing"]["kernels"]["up"].is_null());
  CHECK(down["timing"]["kernels"]["down"] == "ping-pong");
  CHECK(down["timing"]["route_us"].is_null());
  CHECK(down["estimated_perplexity_change"].is_null());
  CHECK(down["last_tile_utilisation"][2].is_null());
  CHECK(result.dump().find("nan") == std::string::npos);
  CHECK(violations(result) == "");
}

TEST_CASE("a strategy with own tiles has no tile", "[report][json]") {
  ExperimentRecord record = experiment();
  record.strategies[1].metrics.tile = 0;
  const auto result = to_json(run_of(record));
  CHECK(result["experiments"][0]["strategies"][1]["tile"].is_null());
  CHECK(result["experiments"][0]["network"][1]["tile"].is_null());
  CHECK(violations(result) == "");
}

TEST_CASE("network totals and means", "[report][json]") {
  ExperimentRecord record = timed_experiment();
  record.routing.push_back(routing(1));
  record.strategies.push_back(plain_record(1));
  record.strategies.push_back(down_record(1));
  record.strategies[3].metrics.dropped_gate_mass = 0.25;
  record.strategies[2].timing = timing(6.0);
  record.strategies[3].timing = timing(3.0);
  auto network = to_json(run_of(record))["experiments"][0]["network"];
  REQUIRE(network.size() == 2);
  CHECK(network[1]["layers"] == 2);
  CHECK(network[1]["dropped"] == 8);
  CHECK(network[1]["dropped_gate_mass"].get<double>() == Approx(0.2));
  CHECK(network[1]["highest_dropped_gate_mass"] == 0.25);
  CHECK(network[1]["layer_ms"] == 5.0);
  CHECK(network[1]["speedup_of_sums"] == 2.0);

  record.strategies[3].timing.reset();  // one layer without a time: the sum would be short
  network = to_json(run_of(record))["experiments"][0]["network"];
  CHECK(network[1]["layer_ms"].is_null());
  CHECK(network[0]["layer_ms"] == 10.0);
}

TEST_CASE("an estimate names its calibration and its interval, or why there is none", "[report][json]") {
  ExperimentRecord record = experiment();
  record.calibration = default_calibration();
  record.config.router.experts = 256;
  record.config.router.top_k = 8;
  record.strategies[0].quality.beyond = {"by hand"};
  record.strategies[1].metrics.mean_square_dropped_mass = 0.04;
  record.strategies[1].metrics.mean_cube_dropped_mass = 0.02;
  record.strategies[1].quality.why_not = "out of range: hand-made";
  record.strategies[0].quality.post_hoc = PerplexityEstimate{0.01, 0.005, 0.02, "by hand"};
  auto result = to_json(run_of(record));
  const auto& strategies = result["experiments"][0]["strategies"];
  CHECK(strategies[0]["estimated_perplexity_change"]["low"] == 0.005);
  CHECK(strategies[0]["estimated_perplexity_change"]["calibration"] == "by hand");
  CHECK(strategies[0]["why_not_estimated"].is_null());
  CHECK(strategies[0]["estimate_beyond"] == std::vector<std::string>{"by hand"});
  CHECK(strategies[1]["estimated_perplexity_change"].is_null());
  CHECK(strategies[1]["why_not_estimated"] == "out of range: hand-made");
  const auto& down = result["experiments"][0]["network"][1];  // from the metrics themselves
  CHECK(down["estimated_perplexity_change"]["value"].get<double>() > 0.1);
  CHECK(down["estimated_perplexity_change"]["calibration"] == default_calibration().name);
  CHECK(down["estimate_beyond"] == std::vector<std::string>{"logits of no network"});
  CHECK(down["estimated_perplexity_change_trained"].is_null());  // published for down: r = 4
  CHECK(violations(result) == "");
}

TEST_CASE("advice is part of the result's schema", "[report][json]") {
  ExperimentRecord record = experiment();
  record.calibration = default_calibration();
  AdviceLimits limits;
  limits.dropped_mass = 0.2;
  record.network = summarise_network(record);
  auto result = to_json(run_of(record));
  result["advice"] = advice_json(advise(record, limits), record);
  CHECK(result["advice"]["best"]["label"] == "down");
  CHECK(violations(result) == "");
  result["advice"].erase("verdict");
  CHECK(violations(result) != "");
}
