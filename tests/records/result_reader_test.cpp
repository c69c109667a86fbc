// Records read back from JSON give the text that they gave before, section by section.
#include "records/result_reader.hpp"

#include "analysis/analysis.hpp"
#include "catch.hpp"
#include "config/read.hpp"
#include "core/error.hpp"
#include "records/result_writer.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;
using nlohmann::json;

namespace {

RunRecord again(const RunRecord& run) {
  ResultDocument result{"result.json", json::parse(json_text(run, -1))};
  check_strictly(result);
  return read_run(result);
}

/// With a config that can be read back.
ExperimentRecord with_config(ExperimentRecord record) {
  const json document = json::parse(R"({"name": "sample", "seed": 7, "tile": 8, "strategies": ["none", "down"],
      "router": {"tokens": 10, "experts": 3, "top_k": 2, "source": {"kind": "gaussian"}},
      "layer": {"hidden": 4096, "intermediate": 1024, "cpu": {"hidden": 256, "intermediate": 64}}})");
  const ExperimentConfig config = parse_experiment(document, "sample.json");
  record.config.effective_json = config.effective_json;
  record.config.strategies = config.strategies;
  return record;
}

/// All that a result holds but for what it lacks of a modelled GPU.
json held(const RunRecord& run) {
  json document = json::parse(json_text(run, -1));
  for (json& experiment : document["experiments"]) {
    if (!experiment["model"].is_null()) experiment["model"].erase("digest");
  }
  return document;
}

}  // namespace

TEST_CASE("a result that is read and written again is the same", "[records][reader]") {
  ExperimentRecord measured = with_config(timed_experiment());
  measured.calibration = default_calibration();
  measured.reach = "as far as by hand";
  measured.warnings = {"clocks fell"};
  measured.documented = {{{"speedup", "down", 8, 1.16, "example 04"}, 2.0, Verdict::kDiffers, "why"}};
  measured.strategies[1].warnings = {"a target exceeds the tokens"};
  measured.strategies[1].waves = WaveRecord{10, 13, 2, 9.5, 70, 10.8};
  measured.strategies[1].timing->floor_of(Stage::kUp) = GemmFloor{0.5, true};
  measured.strategies[1].timing->granule_rows = 64;
  measured.strategies[1].quality.post_hoc = PerplexityEstimate{0.04, 0.03, 0.05, "by hand"};
  measured.strategies[1].quality.beyond = {"a thing"};
  measured.strategies[1].quality.ranking = true;
  ExperimentRecord counted = with_config(experiment());
  counted.reading = "tensor 'counts'";
  for (StrategyRecord& strategy : counted.strategies) {
    strategy.metrics.known = Known::kCounts;
    forget_unknown(strategy.metrics);
  }
  for (const RunRecord& run :
       {run_of(measured), run_of(counted), run_of(with_config(trained_experiment())),
        run_of(with_config(modelled_experiment("h100"))), run_of(with_config(modelled_experiment("a100")))}) {
    CHECK(held(again(run)) == held(run));
  }
}

TEST_CASE("what casts doubt on a modelled GPU is read back", "[records][reader]") {
  for (const char* gpu : {"h100", "a100"}) {
    const RunRecord run = run_of(with_config(modelled_experiment(gpu)));
    CHECK(doubt_of(*again(run).experiments[0].model) == doubt_of(*run.experiments[0].model));
  }
}

TEST_CASE("results of earlier versions are read as far as they go", "[records][reader]") {
  for (ResultDocument& result : read_documents(TATR_TEST_DATA "/records/result_1_0.jsonl")) {
    check_tolerantly(result);
    const RunRecord run = read_run(result);
    REQUIRE(run.experiments.size() == 1);
    CHECK(run.experiments[0].strategies[1].metrics.tiles == 8);
    CHECK(run.experiments[0].network[1].layers.size() == 1);
    CHECK(run.experiments[0].strategies[0].timing->layer_ms.samples.size() == 10);
  }
}

TEST_CASE("of results that say nothing of a ranking, estimates are of what they were fitted to", "[records][reader]") {
  ExperimentRecord record = with_config(timed_experiment());
  record.calibration = default_calibration();
  record.reach = "as far as by hand";
  json document = json::parse(json_text(run_of(record), -1));
  json& experiment = document["experiments"][0];
  REQUIRE(experiment["inputs"]["calibration"].erase("reach") == 1);
  for (json& strategy : experiment["strategies"]) REQUIRE(strategy.erase("estimate_is_ranking") == 1);
  for (json& network : experiment["network"]) network.erase("estimate_is_ranking");
  ResultDocument result{"result.json", document};
  check_strictly(result);
  const RunRecord run = read_run(result);
  CHECK(!run.experiments[0].strategies[1].quality.ranking);
  CHECK(run.experiments[0].reach.find("holds 90 % of unseen settings") == 0);
  CHECK(run.experiments[0].trace_model.empty());
}

TEST_CASE("a config that no version of ours wrote is refused by name", "[records][reader]") {
  json document = json::parse(json_text(run_of(with_config(experiment())), -1));
  document["experiments"][0]["config"]["router"]["colour"] = "red";
  try {
    read_run({"result.json", document});
    FAIL("was read");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("result.json: the config of experiment sample") == 0);
  }
}
