// Verdicts on documented figures, and that their reasons come from the records.
#include "analysis/documented.hpp"

#include "catch.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

DocumentedRecord compare(ExperimentRecord record, std::vector<DocumentedFigure> figures) {
  record.config.documented = std::move(figures);
  record.network = summarise_network(record);
  return compare_documented(record).front();
}

bool says(const DocumentedRecord& record, const std::string& words) {
  INFO(record.why);
  return record.why.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("reproduced: 2 % of a value, half a point of a share", "[report][documented]") {
  CHECK(compare(experiment(), {{"tile_utilisation", "none", 8, 0.63, "a"}}).verdict == Verdict::kReproduced);
  CHECK(compare(experiment(), {{"tile_utilisation", "none", 8, 0.62, "a"}}).verdict == Verdict::kReproduced);
  CHECK(compare(experiment(), {{"tile_utilisation", "none", 8, 0.6301, "a"}}).verdict == Verdict::kDiffers);
  CHECK(compare(experiment(), {{"rows", "none", 0, 20.4, "a"}}).verdict == Verdict::kReproduced);
  CHECK(compare(experiment(), {{"rows", "none", 0, 20.5, "a"}}).verdict == Verdict::kDiffers);
}

TEST_CASE("a modelled time is no measurement", "[report][documented][model]") {
  for (const char* metric : {"speedup", "layer_ms", "gemm_ms"}) {
    const auto record = compare(modelled_experiment("h100"), {{metric, "down", 8, 2.0, "a"}});
    CHECK(record.verdict == Verdict::kNotMeasured);
    CHECK(!record.measured);
    CHECK(says(record, "modelled, not measured: "));
  }
  CHECK(compare(modelled_experiment("h100"), {{"output_error", "down", 8, 0.031, "a"}}).verdict ==
        Verdict::kReproduced);
}

TEST_CASE("a differing utilisation says what load it needs", "[report][documented]") {
  const auto record = compare(experiment(), {{"tile_utilisation", "none", 8, 0.5, "a"}});
  CHECK(record.verdict == Verdict::kDiffers);
  CHECK(record.measured == 0.625);
  CHECK(says(record, "mean load of 6.67"));  // 20 assignments, 3 experts
  CHECK(says(record, "65.6%"));              // 6.67 / (6.67 + 3.5)
  CHECK(says(record, "50.0% would need a mean load near 3.5"));
}

TEST_CASE("figures of one source that contradict each other", "[report][documented]") {
  const auto share =
      compare(experiment(), {{"dropped_share", "down", 8, 0.063, "a, page 1"}, {"dropped", "down", 0, 1, "a, page 2"}});
  CHECK(share.verdict == Verdict::kInconsistent);
  CHECK(says(share, "1 of 20 assignments are 5.0%, not 6.3%"));

  // Another source is another claim.
  CHECK(compare(experiment(), {{"dropped_share", "down", 8, 0.063, "a"}, {"dropped", "down", 8, 1, "b"}}).verdict ==
        Verdict::kDiffers);

  const auto waste =
      compare(experiment(), {{"wasted_flops", "none", 8, 0.2, "a"}, {"tile_utilisation", "none", 8, 0.7, "a"}});
  CHECK(waste.verdict == Verdict::kInconsistent);

  const auto speedup =
      compare(experiment(),
              {{"speedup", "down", 8, 1.5, "a"}, {"gemm_ms", "none", 8, 4.0, "a"}, {"gemm_ms", "down", 8, 2.0, "a"}});
  CHECK(speedup.verdict == Verdict::kInconsistent);
  CHECK(says(speedup, "2.00×"));
}

TEST_CASE("rounding up adds what the utilisation leaves empty", "[report][documented]") {
  ExperimentRecord record = experiment();
  record.config.strategies.push_back(strategy(StrategyKind::kUp, "up"));
  const auto added = compare(record, {{"added_share", "up", 8, 0.041, "a"}, {"tile_utilisation", "none", 8, 0.8, "a"}});
  CHECK(added.verdict == Verdict::kInconsistent);
  CHECK(says(added, "25.0% of the assignments"));
}

TEST_CASE("a reproduced figure stays so, with its contradiction named", "[report][documented]") {
  const auto record = compare(experiment(), {{"dropped", "down", 8, 4, "a"}, {"dropped_share", "down", 8, 0.02, "a"}});
  CHECK(record.verdict == Verdict::kReproduced);
  CHECK(says(record, "though its figures disagree"));
}

TEST_CASE("not measured", "[report][documented]") {
  CHECK(says(compare(experiment(), {{"speedup", "down", 8, 1.16, "a"}}), "no layer"));
  CHECK(says(compare(experiment(), {{"rows", "up", 8, 1, "a"}}), "no strategy 'up'"));
  CHECK(says(compare(experiment(), {{"rows", "down", 64, 1, "a"}}), "at tile 64"));
  CHECK(says(compare(experiment(), {{"accuracy_change", "down", 8, 1, "a"}}), "does not measure"));
  const auto perplexity = compare(experiment(), {{"estimated_perplexity_change", "down", 8, 0.0009, "a"}});
  CHECK(perplexity.verdict == Verdict::kNotMeasured);
  CHECK(says(perplexity, "calibration"));
  ExperimentRecord record = experiment();
  record.calibration = default_calibration();
  record.config.router.experts = 256;
  record.config.router.top_k = 8;
  record.strategies[1].metrics.mean_square_dropped_mass = 0.04;
  const auto estimated = compare(record, {{"estimated_perplexity_change", "down", 8, 0.0009, "a"}});
  CHECK(estimated.verdict == Verdict::kDiffers);
  CHECK(says(estimated, "we estimate +"));
  record.strategies[1].metrics.mean_square_dropped_mass = 0.9;
  CHECK(says(compare(record, {{"estimated_perplexity_change", "down", 8, 0.0009, "a"}}), "out of range"));
}

TEST_CASE("times of a reduced CPU layer do not compare", "[report][documented]") {
  for (const char* metric : {"speedup", "layer_ms", "gemm_ms"}) {
    const auto record = compare(timed_experiment(), {{metric, "down", 8, 2.0, "a"}});
    CHECK(record.verdict == Verdict::kNotMeasured);
    CHECK(record.measured.has_value());
    CHECK(says(record, "reduced CPU layer; not comparable"));
  }
  CHECK(says(compare(timed_experiment(), {{"speedup", "down", 8, 1.16, "a"}}), "4 tiles become 2: 2.00×"));
}

TEST_CASE("times of the whole layer compare", "[report][documented]") {
  ExperimentRecord record = timed_experiment();
  for (StrategyRecord& strategy : record.strategies) strategy.timing->cpu_reduced = false;
  CHECK(compare(record, {{"speedup", "down", 8, 2.0, "a"}}).verdict == Verdict::kReproduced);
  const auto gemm = compare(record, {{"gemm_ms", "none", 8, 4.82, "a"}});
  CHECK(gemm.verdict == Verdict::kDiffers);
  CHECK(gemm.measured == 3.0);  // up 2 and down 1
}

TEST_CASE("nothing was run", "[report][documented]") {
  ExperimentRecord record;
  record.error = "out of memory";
  const auto compared = compare(record, {{"tile_utilisation", "none", 8, 0.6, "a"}});
  CHECK(compared.verdict == Verdict::kNotMeasured);
  CHECK(says(compared, "could not be finished"));
}

TEST_CASE("either way of a training pass compares, and says what rows alone would give", "[report][documented]") {
  ExperimentRecord trained = trained_experiment();
  trained.strategies[0].metrics.counts_after = {130, 70, 64};  // 264 rows in 4 tiles of 128 and 6 steps of 64
  trained.strategies[0].metrics.tile = trained.strategies[1].metrics.tile = 128;
  trained.strategies[0].metrics.tiles = 4;
  trained.strategies[1].metrics.counts_after = {128, 0, 0};
  trained.strategies[1].metrics.tiles = 1;
  trained.config.tiles = {128};
  CHECK(compare(trained, {{"forward_speedup", "down", 128, 2.0, "a"}}).verdict == Verdict::kReproduced);
  CHECK(compare(trained, {{"backward_speedup", "down", 128, 1.5, "a"}}).verdict == Verdict::kReproduced);
  const auto forward = compare(trained, {{"forward_speedup", "down", 128, 1.257, "a"}});
  CHECK(forward.verdict == Verdict::kDiffers);
  CHECK(says(forward, "4 tiles become 1: 4.00× by tiles alone"));
  const auto backward = compare(trained, {{"backward_speedup", "down", 128, 1.118, "a"}});
  CHECK(backward.verdict == Verdict::kDiffers);
  CHECK(says(backward, "whole steps of 64 rows, give 3.50× alone"));  // 512 + 384 rows over 128 + 128
  CHECK(says(compare(trained, {{"speedup", "down", 128, 3.0, "a"}}), "give 3.67× alone"));
  for (StrategyRecord& strategy : trained.strategies) strategy.timing->cpu_reduced = true;
  const auto reduced = compare(trained, {{"forward_speedup", "down", 128, 2.0, "a"}});
  CHECK(reduced.verdict == Verdict::kNotMeasured);
  CHECK(says(reduced, "by tiles alone"));
  const auto none = compare(timed_experiment(), {{"backward_speedup", "down", 8, 1.118, "a"}});
  CHECK(none.verdict == Verdict::kNotMeasured);
  CHECK_FALSE(none.measured);
}
