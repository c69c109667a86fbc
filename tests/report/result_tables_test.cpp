// --csv holds every figure of the JSON: whatever changes there changes a row.
#include "report/result_tables.hpp"

#include <regex>
#include <sstream>

#include "analysis/batches.hpp"
#include "catch.hpp"
#include "records/result_writer.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;
using nlohmann::json;

namespace {

/// What a flat table cannot hold, and why.
constexpr const char* kNotInTable[] = {
    "/schema_version",                                          // names the format of the JSON
    "/experiments/0/config/.*",                                 // config_hash names it; what sweeps vary is in its name
    "/experiments/0/documented/.*",                             // a list of its own, of figures that others published
    "/experiments/0/network/0/name",                            // the strategy's
    "/experiments/0/network/0/estimate_is_ranking",             // likewise
    ".*/(samples|uniform_samples_ms)/[0-9]+",                   // raw samples: their statistics are there
    ".*/(counts_before|counts_after|tiles_per_expert)/[0-9]+",  // lists by expert
    ".*/last_tile_utilisation/[0-9]+",
    ".*/batches/worst_timing/.*",              // its layer_ms is there
    ".*/batches/metrics/[a-z_]+/worst_group",  // of the metrics, mean, deviation and worst are
};

TimingSeries spread(double ms) { return {{ms, ms + 1}, ms + 0.5, ms + 0.25, ms + 0.75}; }

PerplexityEstimate estimate(double value) { return {value, value - 0.001, value + 0.001, "by hand"}; }

/// Everything that a record may hold, held.
RunRecord full_run() {
  ExperimentRecord record = timed_experiment();
  TraceSource trace;
  trace.file = "trace.npy";
  record.config.router.source.options = trace;
  record.trace_digest = "00000000000000aa";
  record.trace_model = "a model";
  record.reading = "1 layer of 4 tokens";
  record.routing[0].tensor = "router";
  record.routing[0].task_loss = 0.25;
  record.warnings = {"drifted"};
  record.documented = {{{"speedup", "down", 8, 1.16, "a document"}, 2.0, Verdict::kDiffers, "because"}};
  record.error = "none";
  record.model = read_gpu_model("a100");
  record.estimated_bytes = 100;
  record.peak_bytes = 99;
  record.strategies.erase(record.strategies.begin());
  StrategyRecord& strategy = record.strategies[0];
  strategy.quality = {estimate(0.01), estimate(0.02), "a reason", {"a strategy"}};
  strategy.warnings = {"one", "two"};
  BatchRecord& batches = strategy.batches.emplace();
  batches.groups = {strategy.metrics, strategy.metrics};
  batches.spread = spread_over(batches.groups);
  batches.worst_timing = strategy.timing;
  batches.worst_layer_ms = 2.5;
  strategy.waves = WaveRecord{1, 132, 8, 0.5, 20, 1.5};
  LayerTiming& timing = *strategy.timing;
  timing.granule_rows = 128;
  timing.launches = 2;
  timing.route_us = timing.round_us = spread(1);
  timing.of(Stage::kGather) = timing.of(Stage::kActivation) = timing.of(Stage::kCombine) = spread(1);
  timing.layer_ms = timing.of(Stage::kUp) = timing.of(Stage::kDown) = spread(2);
  timing.speedup = timing.end_to_end_speedup = RatioInterval{2.0, 1.9, 2.1};
  timing.output_error = timing.output_error_worst_percent = 0.5;
  timing.output_error_dropped = timing.output_error_added = timing.output_error_rescaled = 0.25;
  timing.sm_clock_mhz = 1400;
  timing.power_w = 690;
  timing.training = true;
  timing.forward_ms = timing.backward_ms = spread(1.5);
  timing.forward_speedup = timing.backward_speedup = RatioInterval{1.5, 1.25, 1.75};
  timing.forward_useful_tflops = timing.forward_hardware_tflops = 300;
  timing.backward_useful_tflops = timing.backward_hardware_tflops = 250;
  timing.kept_bytes_per_row = 520;
  for (const StageInfo& stage : kStages) {
    if (stage.backward) timing.of(stage.stage) = spread(0.5);
    if (stage.gemm.empty()) continue;
    timing.floor_of(stage.stage) = GemmFloor{1.5, true};
    timing.variants[index_of(stage.stage)] = "wide";
    timing.granules[index_of(stage.stage)] = 64;
  }
  timing.uniform_ms = 2.5;
  timing.uniform_samples_ms = {2.5};
  timing.end_to_end_counts = {"routing", "rounding", "layer"};
  RunRecord run = run_of(record);
  const Interval change{0.1, 0.05, 0.15};
  run.training = {{"periodic", 8, 2, {{0.5, {record.config.name}, 0.25, 0.5, 0.75, 0.125, change, change, change}}}};
  run.environment.driver = "580";
  run.environment.cuda = "13.0";
  run.environment.sm_clock_mhz = 1980;
  run.environment.power_w = 100;
  return run;
}

/// The sample as JSON; the network's estimates, which a calibration would give, are those of the strategy.
json full_document() {
  json document = json::parse(json_text(full_run(), -1));
  json& experiment = document["experiments"][0];
  json& network = experiment["network"][0];
  const json strategy = experiment["strategies"][0];
  for (const char* key : {"estimated_perplexity_change", "estimated_perplexity_change_trained", "why_not_estimated",
                          "estimate_beyond", "estimate_is_ranking"}) {
    if (strategy.contains(key)) network[key] = strategy[key];
  }
  network["speedup_of_sums"] = 2.0;
  network["speedup_over_fastest_none"] = {{"value", 1.5}, {"low", 1.25}, {"high", 1.75}};
  if (experiment["model"].is_object()) experiment["model"]["error"]["ratio_across_tiles"] = 0.0625;
  network["unknown"] = experiment["strategies"][0]["unknown"] = "a reason";
  experiment["inputs"]["calibration"] = {{"name", "by hand"}, {"digest", "00000000000000bb"}, {"reach", "so far"}};
  experiment["config"]["seed"] = 7;
  return document;
}

json changed(const json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number_integer()) return value.get<std::int64_t>() + 1;
  if (value.is_number()) return value.get<double>() + 0.125;
  return value.is_string() ? json(value.get<std::string>() + "x") : json("x");
}

bool is_excused(const std::string& pointer) {
  return std::any_of(std::begin(kNotInTable), std::end(kNotInTable),
                     [&](const char* pattern) { return std::regex_match(pointer, std::regex(pattern)); });
}

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

}  // namespace

TEST_CASE("every figure of a result is in its table", "[report][tables]") {
  const json document = full_document();
  const std::string rows = csv_rows(document);
  std::size_t looked_at = 0;
  const json leaves = document.flatten();
  for (const auto& [pointer, value] : leaves.items()) {
    if (is_excused(pointer)) continue;
    INFO(pointer);
    CHECK_FALSE(value.is_null());  // the sample must hold all, or nothing is said about it
    json other = document;
    other[json::json_pointer(pointer)] = changed(value);
    CHECK(csv_rows(other) != rows);
    ++looked_at;
  }
  CHECK(looked_at > 120);
}

TEST_CASE("modelled times are named in tables, with what casts doubt on them", "[report][tables][model]") {
  ExperimentRecord record = modelled_experiment("a100");
  const json document = json::parse(json_text(run_of(record), -1));
  const std::string header = csv_header(), rows = csv_rows(document);
  const std::vector<std::string> names = cells(header.substr(0, header.size() - 1));
  const std::vector<std::string> row = cells(rows.substr(0, rows.find('\n')));
  const auto cell = [&](const std::string& name) {
    return row[static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin())];
  };
  CHECK(cell("device") == "cpu");
  CHECK(cell("model_name") == "NVIDIA A100-SXM4-80GB");
  CHECK(cell("times") == "modelled");
  CHECK(cell("layer_ms") == "4.0");
  CHECK(cell("layer_ms_n").empty());
  CHECK(cell("layer_ms_modelled_low") == "3.5");
  CHECK(rows.find("\"NVIDIA A100-SXM4-80GB, modelled\"") != std::string::npos);
  CHECK(rows.find("\"datasheet, not validated\"") != std::string::npos);
  CHECK(markdown_rows(document).find("| NVIDIA A100-SXM4-80GB, modelled: datasheet, not validated |") !=
        std::string::npos);
}

TEST_CASE("tables say of a CPU no speed-up, and mark an estimate beyond its calibration", "[report][tables]") {
  ExperimentRecord record = experiment();
  record.network = summarise_network(record);
  json document = json::parse(json_text(run_of(record), -1));
  document["environment"]["device"] = "cpu";
  json& network = document["experiments"][0]["network"];
  REQUIRE(network.size() == 2);
  network[0]["tiles"] = 12;
  network[1]["tiles"] = 8;
  network[1]["dropped"] = 5;
  network[1]["estimate_beyond"] = {"by hand"};
  network[1]["estimated_perplexity_change"] = {{"value", 0.012}, {"low", 0.01}, {"high", 0.02}, {"calibration", "one"}};
  document["experiments"][0]["strategies"][1]["timing"]["speedup"] = {{"value", 1.2}, {"low", 1.1}, {"high", 1.3}};
  const std::string on_cpu = aligned_table({document});
  CHECK(on_cpu.find("+1.2%*") != std::string::npos);
  CHECK(on_cpu.find("Tile ratio") != std::string::npos);
  CHECK(on_cpu.find("1.50×") != std::string::npos);
  CHECK(on_cpu.find("CPU time ratio [95%]") != std::string::npos);
  CHECK(on_cpu.find("Speed-up") == std::string::npos);
  CHECK(markdown_rows(document).find("| +1.2%* |") != std::string::npos);
  network[1]["estimate_is_ranking"] = true;
  CHECK(markdown_rows(document).find("| +1.2%* (ranking) |") != std::string::npos);
  document["environment"]["device"] = "NVIDIA Test GPU";
  const std::string on_gpu = aligned_table({document});
  CHECK(on_gpu.find("Speed-up") != std::string::npos);
  CHECK(on_gpu.find("1.20× [1.10, 1.30]") != std::string::npos);
  CHECK(on_gpu.find("ratio") == std::string::npos);
}

TEST_CASE("of a training pass the table has the estimate of models trained with the strategy, too",
          "[report][tables]") {
  ExperimentRecord record = trained_experiment();
  record.network = summarise_network(record);
  json document = json::parse(json_text(run_of(record), -1));
  json& experiment = document["experiments"][0];
  experiment["config"]["layer"]["pass"] = "training";
  json& network = experiment["network"][1];
  network["estimated_perplexity_change_trained"] = {
      {"value", 0.002}, {"low", 0}, {"high", 0.004}, {"calibration", "a"}};
  network["estimated_perplexity_change"] = nullptr;
  CHECK(markdown_rows(document).find("| trained +0.20% |") != std::string::npos);
  network["estimated_perplexity_change"] = {{"value", 0.012}, {"low", 0.01}, {"high", 0.02}, {"calibration", "one"}};
  CHECK(markdown_rows(document).find("| +1.2% (trained +0.20%) |") != std::string::npos);
  experiment["config"]["layer"].erase("pass");
  CHECK(markdown_rows(document).find("| +1.2% |") != std::string::npos);
}

TEST_CASE("columns have names of their own, and each row a cell for each", "[report][tables]") {
  const std::string header = csv_header();
  std::vector<std::string> names = cells(header.substr(0, header.size() - 1));
  CHECK(cells(csv_rows(full_document())).size() == names.size());
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  for (const char* kept :
       {"experiment", "label", "tile", "tiles", "layer_ms", "n", "speedup_low", "task_loss", "git"}) {
    CHECK(std::binary_search(names.begin(), names.end(), kept));
  }
}
