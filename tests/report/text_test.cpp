// The text report: golden text, 80 columns, and records with much or nothing in them.
#include "report/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "analysis/documented.hpp"
#include "catch.hpp"
#include "core/format.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

std::string report(ExperimentRecord record, int experts = 4) {
  return text_report(run_of(std::move(record)), {false, experts, all_sections()});
}

std::string first_screen(ExperimentRecord record) { return text_report(run_of(std::move(record)), {}); }

std::string details(const RunRecord& run, bool colour = false) { return text_report(run, {colour, 4, all_sections()}); }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Without line breaks.
std::string flat(const std::string& text) {
  std::string words;
  for (const char c : text) {
    const char mark = c == '\n' ? ' ' : c;
    if (mark != ' ' || words.empty() || words.back() != ' ') words += mark;
  }
  return words;
}

void check_width(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(display_width(line) <= kReportWidth);
    CHECK((line.empty() || line.back() != ' '));
  }
}

ExperimentRecord network(int layers) {
  ExperimentRecord record = experiment();
  record.routing.clear();
  record.strategies.clear();
  for (int layer = 0; layer < layers; ++layer) {
    record.routing.push_back(routing(layer));
    record.routing.back().tensor = fmt::format("model.layers.{}.mlp.router_logits", layer);
    record.strategies.push_back(plain_record(layer));
    record.strategies.push_back(down_record(layer));
    record.strategies.back().warnings = {"a target exceeds the tokens"};
  }
  return record;
}

constexpr const char* kGolden = R"(Configuration
=============

  - Experiment: sample
  - Num Experts: 3
  - Total Tokens: 10
  - Top-k: 2
  - Tile Size: 8
  - Router Logits: synthetic, Gaussian (deviation 1)
  - Scores: softmax, gates normalised
  - Seed: 7
  - Expert Layer: hidden 4096, intermediate 1024
  - Machine: Test CPU, 2 threads

Tokens per Expert (experts in each range):
   3         1 ████████████████████████████████████████
   4         0
   5         0
   6         0
   7         0
   8         1 ████████████████████████████████████████
   9         1 ████████████████████████████████████████

Before rounding, tile 8:
  Expert 0: 9 tokens → 2 tiles (tile 2: 12.5% used)
  Expert 1: 8 tokens → 1 tile (100% used)
  Expert 2: 3 tokens → 1 tile (tile 1: 37.5% used)
After rounding, Round Down:
  Expert 0: 8 tokens → 1 tile (100% used)
  Expert 1: 8 tokens → 1 tile (100% used)
  Expert 2: 0 tokens → no tile

Tiles and Rows
==============

  Strategy  Rows  Tiles  Dropped  Starved  Utilisation  Dropped share
  -------------------------------------------------------------------
  none        20      4        0        0        62.5%             0%
  down        16      2        4        1         100%          20.0%

  Strategy  Lost gate mass  Prob.
  -------------------------------
  none                   0      -
  down                0.15  0.012
  Shares are of T K assignments. Most: experts of one token, the most of any.
  Lost gate mass: gates dropped, mean over tokens. Prob.: mean routing
  probability of what was dropped.

Times
=====

Measured (CPU, reduced shape 256 x 64, openblas; median of 2 samples):
  Strategy  GEMM ms  Layer ms  CPU time ratio [95%]  Useful TFLOP/s
  -----------------------------------------------------------------
  none            3         4                     -            0.25
  down          1.5         2    2.00× [1.90, 2.10]            0.25

Documented against Measured
===========================

  Figure                                   documented  measured   verdict
  ----------------------------------------------------------------------------
  From example 04:
  none, tile_utilisation, tile 8                67.3%     62.5%   differs
    a mean load of 6.67 at tile 8 leaves about 3.5 empty rows an expert: 65.6%;
    67.3% would need a mean load near 7.2
  down, speedup, tile 8                          1.16         -   not measured
    ours: 2, measured on a reduced CPU layer; not comparable; 4 tiles become 2:
    2.00× by tiles alone

Warnings:
  - clocks fell

Verdict: `down`: 2.00× fewer rows of tiles for 20.0% of assignments dropped, the
  fastest. What that costs in perplexity is not estimated.
Note: Rounding at serving time makes a token's output depend on its batch.
)";

constexpr const char* kFirstScreen = R"(sample
10 tokens, 3 experts, top-2, tile 8; synthetic, Gaussian (deviation 1); seed 7.
CPU, reduced shape 256 x 64, openblas, measured on this CPU: Test CPU, median of
  2. A CPU has no tiles: its time ratio is no speed-up of a GPU. The tile ratio
  is about the most that a GPU gains; --device model:h100 models one.

  Strategy  Tiles  Tile ratio  CPU time  Dropped  Lost gate mass
  --------------------------------------------------------------
  none          4       1.00×         -       0%               0
  down          2       2.00×     2.00×    20.0%            0.15

Verdict: `down`: 2.00× fewer rows of tiles for 20.0% of assignments dropped, the
  fastest. What that costs in perplexity is not estimated.
Warning: clocks fell
Note: Rounding at serving time makes a token's output depend on its batch.
)";

}  // namespace

TEST_CASE("the report of a small record", "[report][text]") {
  ExperimentRecord record = timed_experiment();
  record.config.documented = {{"tile_utilisation", "none", 8, 0.673, "example 04"},
                              {"speedup", "down", 8, 1.16, "example 04"}};
  record.network = summarise_network(record);
  record.documented = compare_documented(record);
  record.warnings = {"clocks fell"};
  const std::string text = report(record);
  CHECK(text == kGolden);
  check_width(text);
  CHECK(first_screen(record) == kFirstScreen);
}

TEST_CASE("a GPU is named without the threads of its host", "[report][text]") {
  auto run = run_of(timed_experiment());
  run.environment.device = "NVIDIA H100";
  CHECK(contains(details(run), "- Machine: NVIDIA H100; Test CPU\n"));
}

TEST_CASE("a training pass shows both ways, what rows alone would gain, and what rounding cannot buy",
          "[report][text]") {
  auto run = run_of(trained_experiment());
  run.environment.device = "NVIDIA H100";
  const std::string screen = text_report(run, {});
  check_width(screen);
  CHECK(contains(screen, "Layer 4096 x 1024, openblas, training pass, measured on NVIDIA H100"));
  CHECK(contains(screen, "Forward  Backward"));
  CHECK(contains(screen, "1.60× [1.00, 2.00]    2.00×     1.50×"));
  CHECK(contains(screen, "Speed-up: of forward and backward together."));
  CHECK(contains(screen, "steps of 64: whole tiles"));
  const std::string text = details(run);
  check_width(text);
  const std::size_t section = text.find("Training Pass\n");
  REQUIRE(section != std::string::npos);
  const std::string passes = text.substr(section);
  CHECK(contains(passes, "forward   2  2.00× [1.90, 2.10]    2.00×"));
  CHECK(contains(passes, "500 (500)"));
  CHECK(contains(passes, "backward   8  1.50× [1.40, 1.60]"));
  CHECK(contains(passes, "450 (460)"));
  CHECK(contains(passes, "weight gradient, up"));
  CHECK(contains(passes, "4,104 bytes"));
  CHECK(contains(passes, "What rounding cannot buy"));
  CHECK(contains(text, "- Expert Layer: hidden 4096, intermediate 1024; training pass"));

  run.environment.device = "cpu";  // which has no tiles
  const std::string on_cpu = text_report(run, {});
  check_width(on_cpu);
  CHECK_FALSE(contains(on_cpu, "Backward"));
  CHECK_FALSE(contains(on_cpu, "ile ratio"));
  CHECK(contains(on_cpu, "Strategy  Tiles  By rows  CPU time"));
  CHECK(contains(on_cpu, "down          2    1.60×     1.60×"));  // 2 * 32 + 3 * 64 rows become 2 * 16 + 2 * 64
  CHECK(contains(details(run), "both  10  1.60× [1.00, 2.00]    1.60×"));
  CHECK(contains(on_cpu, "`down`: 1.60× fewer rows of tiles and steps"));
  CHECK(contains(on_cpu, "--show passes"));
}

TEST_CASE("where nothing is rounded up there is no rate of whole tiles", "[report][text]") {
  ExperimentRecord record = trained_experiment();
  CHECK(contains(report(record), "450 (460)"));
  CHECK(contains(report(record), "rows, and of those"));
  for (StrategyRecord& strategy : record.strategies) strategy.timing->granule_rows = 1;
  for (const bool by_gemm : {false, true}) {  // early results know no granules of each GEMM
    for (StrategyRecord& strategy : record.strategies) {
      if (by_gemm) strategy.timing->granules.fill(1);
    }
    const std::string text = report(record);
    CHECK_FALSE(contains(text, "460"));
    CHECK_FALSE(contains(text, "(500)"));
    CHECK(contains(text, "1.56×      450\n"));
    CHECK_FALSE(contains(text, "of those"));
    CHECK(contains(text, "TFLOP/s: of useful rows; 6"));
  }
}

TEST_CASE("of a training pass the estimate of models trained with the strategy is told", "[report][text]") {
  ExperimentRecord record = trained_experiment();
  record.network = summarise_network(record);
  QualityEstimate& quality = record.network[1].quality;
  quality.trained = PerplexityEstimate{0.002, -0.001, 0.0045, "tables"};
  quality.why_not = "not calibrated for top-2";
  record.network[0].quality.trained = PerplexityEstimate{0, 0, 0, "tables"};
  const std::string screen = first_screen(record);
  check_width(screen);
  const std::string words = flat(screen);
  CHECK(contains(words, "Perplexity of a model trained with plain top-k, rounded at evaluation, is not estimated: "));
  CHECK(contains(words, "Trained with the strategy, evaluated without it (tables): `down` +0.20% [-0.10%, +0.45%]."));
  CHECK(contains(words, "(trained with it +0.20% [-0.10%, +0.45%] of perplexity)"));
  CHECK_FALSE(contains(screen, "`none` 0%"));
  CHECK_FALSE(contains(screen, "What that costs"));

  quality.post_hoc = PerplexityEstimate{0.0005, 0, 0.0009, "ours"};
  quality.why_not.clear();
  const std::string both = first_screen(record);
  check_width(both);
  CHECK_FALSE(contains(both, "not estimated"));
  CHECK(contains(both, "Perplexity [90%]: trained with plain top-k, rounded at evaluation."));
  CHECK(contains(flat(both), "+0.05% [0%, +0.09%] of perplexity, rounded at evaluation (trained with it +0.20% ["));

  ExperimentRecord forward = timed_experiment();  // which is not trained
  forward.network = summarise_network(forward);
  forward.network[1].quality = quality;
  CHECK_FALSE(contains(first_screen(forward), "rained with"));
}

TEST_CASE("the first screen keeps to its lines where columns break the table", "[report][text]") {
  ExperimentRecord record = trained_experiment();
  for (int i = 0; i < 40; ++i) {
    record.strategies.push_back(record.strategies[1]);
    record.strategies.back().strategy.label = fmt::format("down {}", i);
  }
  RunRecord run = run_of(record);
  for (NetworkRecord& network : run.experiments[0].network) {
    network.quality.post_hoc = PerplexityEstimate{-0.0005, -0.0012, 0.0009, "ours"};
  }
  run.environment.device = "NVIDIA H100";
  TextOptions options;
  options.lines = 40;
  const std::string screen = text_report(run, options);
  CHECK(contains(screen, "more, slower"));
  CHECK(std::count(screen.begin(), screen.end(), '\n') <= 41);  // with the note on serving
}

TEST_CASE("gains by rows of training passes and of tiles do not share a head", "[report][text]") {
  RunRecord run = run_of(trained_experiment());
  run.experiments.push_back(run.experiments.front());
  run.experiments.back().config.name = "other";
  CHECK(contains(text_report(run, {}), "By rows"));
  run.experiments.push_back(run_of(timed_experiment()).experiments.front());
  const std::string text = text_report(run, {});
  CHECK(contains(text, "1.60× by rows"));
  CHECK(contains(text, "2.00× tiles"));
}

TEST_CASE("training passes of several layers are added up, either way", "[report][text]") {
  ExperimentRecord record = trained_experiment();
  record.routing.push_back(routing(1));
  for (StrategyRecord strategy : std::vector<StrategyRecord>(record.strategies)) {
    strategy.layer = 1;
    record.strategies.push_back(strategy);
  }
  auto run = run_of(record);
  run.environment.device = "NVIDIA H100";
  const std::string screen = text_report(run, {});
  check_width(screen);
  CHECK(contains(screen, "1.60×    2.00×     1.50×"));
  const std::string text = details(run);
  check_width(text);
  CHECK(contains(text, "Forward ms  Ratio  Backward ms  Ratio  Both ms  Ratio"));
  CHECK(contains(text, "4  2.00×           16  1.50×       20  1.60×"));
}

TEST_CASE("modelled times stand first, named, with the error beside them", "[report][text][model]") {
  const std::string text = details(run_of(modelled_experiment("h100")));
  const std::size_t table = text.find("Modelled (layer 4096 x 1024, tatr, gather and SwiGLU fused, tile 8):");
  REQUIRE(table != std::string::npos);
  CHECK(text.find("Times on NVIDIA H100 80GB HBM3, modelled") < table);
  CHECK(text.find("90th percentile") < table);
  CHECK(table < text.find("Output Error"));
  CHECK(text.find("4 [3.5, 4.5]") != std::string::npos);
  CHECK(text.find("2.00× [1.90, 2.10]") != std::string::npos);
  CHECK(text.find("Outputs: computed and verified on the CPU, layer 256 x 64.") != std::string::npos);
  CHECK(text.find("Of the reduced layer 256 x 64 that the CPU computed.") != std::string::npos);
  CHECK(text.find("Measured (") == std::string::npos);
  CHECK(text.find("not validated") == std::string::npos);
}

TEST_CASE("a GPU of which nothing is measured is marked wherever it appears", "[report][text][model]") {
  const std::string text = details(run_of(modelled_experiment("a100")));
  const std::string mark = "datasheet, not validated";
  for (const char* place :
       {"  - Device: NVIDIA A100", "Times on NVIDIA A100", "Modelled, not measured", "Modelled (layer"}) {
    INFO(place);
    const std::size_t found = text.find(place);
    REQUIRE(found != std::string::npos);
    std::string words = text.substr(found, 160);
    std::replace(words.begin(), words.end(), '\n', ' ');
    while (words.find("  ") != std::string::npos) words.replace(words.find("  "), 2, " ");
    CHECK(words.find(mark) != std::string::npos);
  }
}

TEST_CASE("several tiles have tables of their own, and one on the first screen", "[report][text]") {
  ExperimentRecord record = timed_experiment();
  record.config.tiles = {8, 16};
  for (const std::size_t i : {0, 1}) {
    StrategyRecord other = record.strategies[i];
    other.metrics.tile = 16;
    record.strategies.push_back(other);
  }
  const std::string text = report(record);
  CHECK(contains(text, "Tile 8\n"));
  CHECK(contains(text, "Tile 16\n"));
  check_width(text);
  const std::string screen = first_screen(record);
  CHECK(contains(screen, "  Strategy  Tile  Tiles  Tile ratio  CPU time  Dropped  Lost gate mass\n"));
  CHECK(contains(screen, "  down        16      2       2.00×     2.00×    20.0%            0.15\n"));
  check_width(screen);
}

TEST_CASE("sixty layers stay readable", "[report][text]") {
  const std::string text = report(network(60));
  CHECK(contains(text, "... (54 more)"));
  CHECK(contains(text, "(60 times)"));
  CHECK(std::count(text.begin(), text.end(), '\n') < 50);
  check_width(text);
}

TEST_CASE("all experts, or the first few", "[report][text]") {
  ExperimentRecord record = experiment();
  for (StrategyRecord& strategy : record.strategies) {
    RoundingMetrics& metrics = strategy.metrics;
    metrics.counts_before.assign(256, 9);
    metrics.counts_after.assign(256, 8);
    metrics.tiles_per_expert.assign(256, 1);
    metrics.last_tile_utilisation.assign(256, 1.0);
  }
  CHECK(contains(report(record), "... (252 more)"));
  CHECK(!contains(report(record), "Expert 255:"));
  CHECK(contains(report(record, -1), "Expert 255: 8 tokens → 1 tile (100% used)"));
}

TEST_CASE("one strategy, no tiles, nothing at all", "[report][text]") {
  ExperimentRecord record = experiment();
  record.strategies.resize(1);
  CHECK(!contains(report(record), "depend on its batch"));
  check_width(report(record));

  record.strategies[0].metrics = RoundingMetrics{};
  record.strategies[0].metrics.tile = 8;
  record.strategies[0].metrics.counts_before = {0, 0};
  CHECK(contains(report(record), "Expert 1: 0 tokens → no tile"));

  check_width(report(ExperimentRecord{}));
  CHECK(text_report(RunRecord{}, {}).empty());

  record.error = "not enough memory";
  CHECK(contains(report(record), "Not finished: not enough memory"));
  CHECK(contains(first_screen(record), "Not finished: not enough memory"));
}

TEST_CASE("only own tiles", "[report][text]") {
  ExperimentRecord record = experiment();
  record.strategies = {down_record()};
  record.strategies[0].strategy = strategy(StrategyKind::kDynamic, "dynamic");
  record.strategies[0].metrics.tile = 0;
  check_width(report(record));
}

TEST_CASE("long names and many strategies keep to the width", "[report][text]") {
  ExperimentRecord record = timed_experiment();
  for (int i = 0; i < 6; ++i) {
    StrategyRecord other = record.strategies[1];
    other.strategy.label = fmt::format("a label that is far too long for a column {}", i);
    other.metrics.rows = other.metrics.padded = other.metrics.duplicated = 123456789;
    other.metrics.tokens_without_expert = 123456;
    other.timing->end_to_end_speedup = RatioInterval{1.5, 1.4, 1.6};
    other.timing->uniform_ms = 1.0;
    other.timing->output_error_worst_percent = other.timing->output_error_dropped = 0.123456;
    record.strategies.push_back(other);
  }
  record.strategies.back().timing.reset();
  record.strategies.back().warnings = {"\x1b[31mred\n" + std::string(200, ' ') + "words"};
  const std::string text = report(record);
  check_width(text);
  CHECK(contains(text, "Times not measured: a label"));
  CHECK(contains(text, "Worst 1%"));
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("the note on batches stands once in a report", "[report][text]") {
  RunRecord run = run_of(experiment());
  run.experiments.push_back(experiment());
  const std::string text = text_report(run, {});
  const std::size_t first = text.find("depend on its batch");
  CHECK(first != std::string::npos);
  CHECK(text.find("depend on its batch", first + 1) == std::string::npos);
}

TEST_CASE("colour only when asked", "[report][text]") {
  CHECK(!contains(report(experiment()), "\x1b"));
  CHECK(contains(details(run_of(experiment()), true), "\x1b[1m"));
}

TEST_CASE("estimates come with their interval and the name of what they rest on", "[report][text]") {
  ExperimentRecord record = experiment();
  CHECK(!contains(report(record), "Post hoc"));  // no calibration, no section
  record.calibration = default_calibration();
  record.config.router.experts = 256;
  record.config.router.top_k = 8;
  record.strategies[1].metrics.mean_square_dropped_mass = 0.04;
  record.strategies[1].quality.post_hoc = PerplexityEstimate{0.0412, 0.032, 0.0504, "by hand"};
  std::string text = report(record);
  check_width(text);
  CHECK(contains(first_screen(record), "Perplexity [90%]\n"));
  CHECK(contains(text, "Post hoc [90%]"));
  CHECK(contains(text, default_calibration().name.substr(0, 13)));
  CHECK(!contains(text, "Trained:"));

  record.strategies[1].metrics.dropped_gate_mass = 0.9;
  record.strategies[1].metrics.mean_square_dropped_mass = 0.9;
  text = report(record);
  check_width(text);
  CHECK(contains(text, "out of range"));

  record.config.router.experts = 3;
  record.config.router.top_k = 2;
  record.config.router.tokens = 48;
  record.strategies[1].strategy = strategy(StrategyKind::kNearest, "nearest");
  text = report(record);  // 48 * 2 / (3 * 8) = 4 tiles an expert
  check_width(text);
  CHECK(contains(text, "-0.14% [-0.22%, -0.06%]"));
  CHECK(contains(text, "Trained:"));
}

TEST_CASE("a report says what no measurement had, and why estimates are missing", "[report][text]") {
  ExperimentRecord record = experiment();
  record.calibration = default_calibration();
  record.config.router.experts = 256;
  record.config.router.top_k = 8;
  record.strategies[1].metrics.mean_square_dropped_mass = 0.04;
  record.strategies.push_back(down_record());
  record.strategies.back().metrics = record.strategies[1].metrics;
  record.strategies.back().strategy = strategy(StrategyKind::kCapacity, "capacity");
  std::string text = report(record);
  check_width(text);
  CHECK(contains(text, "Estimated beyond the measurements: logits of no network.\n"));
  CHECK(contains(text, "Estimated beyond the measurements: strategy capacity (capacity).\n"));
  CHECK(!contains(text, "No estimate"));

  record.strategies.back().strategy.renormalise = true;
  text = report(record);
  CHECK(contains(text, "No estimate: not calibrated for renormalised gates (capacity).\n"));
  record.config.router.scoring = Scoring::kSigmoid;
  text = report(record);
  check_width(text);
  CHECK(contains(text, "No estimate: not calibrated for sigmoid routers.\n"));
  CHECK(!contains(text, "beyond the measurements"));
}

TEST_CASE("what added rows weigh is said where it is not the score", "[report][text]") {
  ExperimentRecord record = experiment();
  CHECK(!contains(report(record), "Added Gates"));
  StrategyConfig up = strategy(StrategyKind::kUp, "up");
  up.added_gate = AddedGate::kNormalised;
  record.config.strategies.push_back(up);
  std::string text = report(record);
  check_width(text);
  CHECK(contains(text, "- Added Gates: score over the sum of the token's chosen scores\n"));
  record.config.strategies.push_back(strategy(StrategyKind::kUp, "up", "raw"));
  text = report(record);
  check_width(text);
  CHECK(contains(text, "(up); others"));
}

TEST_CASE("the verdict names what keeps the limit of quality, and how it knows", "[report][text]") {
  ExperimentRecord record = timed_experiment();
  const auto verdict = [](ExperimentRecord of, const std::string& device) {
    RunRecord run = run_of(std::move(of));
    run.environment.device = device;
    TextOptions options;
    options.sections = {"verdict"};
    std::string text = text_report(run, options);
    for (std::size_t at; (at = text.find("\n  ")) != std::string::npos;) text.replace(at, 3, " ");
    return text;
  };
  for (StrategyRecord& strategy : record.strategies) strategy.timing->cpu_reduced = false;
  record.network = summarise_network(record);
  record.network[1].quality.post_hoc = PerplexityEstimate{-0.0002, -0.0009, 0.0005, "by hand"};
  CHECK(contains(verdict(record, "a GPU"),
                 "Verdict: `down`: 2.00× [1.90, 2.10] for -0.02% [-0.09%, +0.05%] of perplexity, the"));
  record.network[1].quality.beyond = {"a thing"};
  CHECK(contains(verdict(record, "a GPU"), "does not cover it (*)."));
  record.network[1].quality = {PerplexityEstimate{0.0008, 0.0001, 0.0015, "by hand"}, {}, {}, {}};
  CHECK(contains(verdict(record, "a GPU"), "nothing faster than `none` surely stays within +0.1% of perplexity"));
  record.strategies[1].timing->speedup = RatioInterval{1.01, 0.99, 1.03};
  CHECK(contains(verdict(record, "a GPU"), "no strategy is surely faster than `none`"));
  record.strategies.erase(record.strategies.begin());
  record.network.clear();
  CHECK(contains(verdict(record, "a GPU"), "speed-ups are against `none`, which is not among the strategies"));
}

TEST_CASE("many strategies leave the first screen one screen", "[report][text]") {
  ExperimentRecord record = timed_experiment();
  for (int i = 0; i < 60; ++i) {
    StrategyRecord other = record.strategies[1];
    other.strategy.label = fmt::format("label {}", i);
    other.metrics.tiles = 3;
    record.strategies.push_back(other);
  }
  const std::string text = first_screen(record);
  CHECK(std::count(text.begin(), text.end(), '\n') <= 43);
  CHECK(contains(text, "  none "));
  CHECK(contains(text, "  down "));
  CHECK(contains(text, " more, slower: --show counts\n"));
}

TEST_CASE("many experiments share one table, the largest gain first", "[report][text]") {
  RunRecord run = run_of(timed_experiment());
  run.experiments.front().config.name = "s (router/experts=3, seed=1)";
  for (int i = 0; i < 200; ++i) {
    run.experiments.push_back(run.experiments.front());
    run.experiments.back().config.name = fmt::format("s (router/experts=4, seed={})", i);
    run.experiments.back().network[1].metrics.tiles = 3;
    run.experiments.back().strategies[1].metrics.tiles = 3;
    run.experiments.back().warnings = {"clocks fell"};
  }
  run.experiments.back().error = "out of memory";
  for (int i : {3, 4}) {
    run.experiments[i].network[1].quality.post_hoc = PerplexityEstimate{-0.0002, -0.0009, 0.0005, "by hand"};
    run.experiments[i].reach = "as far as by hand";
  }
  run.experiments[5].reach = "of no estimate";
  const std::string text = text_report(run, {});
  CHECK(contains(text, "  Perplexity, its [90%]: as far as by hand.\n"));
  CHECK(text.find("as far as by hand") == text.rfind("as far as by hand"));
  CHECK(!contains(text, "of no estimate"));
  CHECK(std::count(text.begin(), text.end(), '\n') <= 43);
  check_width(text);
  const std::size_t best = text.find("  experts=3, seed=1 "), next = text.find("  experts=4, seed=0 ");
  REQUIRE(best != std::string::npos);
  CHECK(best < next);
  CHECK(contains(text, "Not finished: s (router/experts=4, seed=199): out of memory\n"));
  CHECK(contains(text, "Warning, 200 of 201 experiments: clocks fell\n"));
}

TEST_CASE("text is as wide as it is told", "[report][text]") {
  set_report_width(120);
  const std::string wide = report(timed_experiment());
  set_report_width(kReportWidth);
  CHECK(contains(wide, "Utilisation  Dropped share  Lost gate mass  Prob.\n"));
  CHECK(report(timed_experiment()).find("Dropped share  Lost gate mass") == std::string::npos);
}
