#include "analysis/ranking.hpp"

#include "catch.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

/// Layer times `factor` times a drift that all strategies share, with an error of +-`noise` that alternates.
StrategyRecord timed(const std::string& label, double factor, double noise, std::int64_t layer = 0) {
  StrategyRecord record = plain_record(layer);
  record.strategy = strategy(StrategyKind::kDown, "down", label);
  std::vector<double> samples;
  for (int i = 0; i < 20; ++i) samples.push_back(factor * (1 + 0.02 * i) * (1 + (i % 2 == 0 ? noise : -noise)));
  const double median = 0.5 * (samples[9] + samples[10]);
  record.timing = timing(median);
  record.timing->layer_ms = series(std::move(samples), median);
  return record;
}

ExperimentRecord of(std::vector<StrategyRecord> records) {
  ExperimentRecord record = experiment();
  record.strategies = std::move(records);
  record.network = summarise_network(record);
  return record;
}

}  // namespace

TEST_CASE("strategies that pairs tell apart are ranked, however far all drift together") {
  CHECK(ranking_warnings(of({timed("a", 1, 0.001), timed("b", 1.01, -0.001), timed("c", 1.02, 0.001)})).empty());
  CHECK(ranking_warnings(of({timed("a", 1, 0)})).empty());
  CHECK(ranking_warnings(experiment()).empty());  // not timed
}

TEST_CASE("neighbours that pairs do not tell apart are named, in order, by tile") {
  const auto warnings = ranking_warnings(
      of({timed("d", 2.001, 0.01), timed("a", 1, 0.01), timed("c", 2, -0.01), timed("b", 1.003, -0.01)}));
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("tile 8: too close to tell which is faster: a and b; c and d (") == 0);
  const auto three = ranking_warnings(of({timed("a", 1, 0.01), timed("b", 1.001, -0.01), timed("c", 1.002, 0.01)}));
  REQUIRE(three.size() == 1);
  CHECK(three[0].find("faster: a, b and c (") != std::string::npos);
}

TEST_CASE("several layers are ranked by their sums, and other back ends not at all") {
  // Layer 0 alone would not tell them apart; the sums do.
  CHECK(ranking_warnings(
            of({timed("a", 0.01, 0.01), timed("b", 0.01, -0.01), timed("a", 1, 0, 1), timed("b", 1.1, 0, 1)}))
            .empty());
  std::vector<StrategyRecord> mixed = {timed("a", 1, 0.01), timed("b", 1, -0.01)};
  CHECK(ranking_warnings(of(mixed)).size() == 1);
  mixed[1].timing->backend = "tatr";
  CHECK(ranking_warnings(of(mixed)).empty());
}

TEST_CASE("modelled times are ranked as far as the model's ratios go", "[model]") {
  ExperimentRecord record = modelled_experiment("h100");
  record.network = summarise_network(record);
  CHECK(ranking_warnings(record).empty());
  record.strategies[1].timing = modelled_timing(4.0 / (1 + 0.5 * record.model->error.ratio));
  record.network = summarise_network(record);
  const auto warnings = ranking_warnings(record);
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("tile 8: too close to tell which is faster: down and none (their times differ by less than "
                         "the model may err)") == 0);
}
