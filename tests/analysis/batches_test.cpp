#include "analysis/batches.hpp"

#include <cmath>

#include "analysis/network.hpp"
#include "catch.hpp"
#include "records/metric_catalogue.hpp"

using namespace tatr;

namespace {

RoundingMetrics group(std::int64_t tiles, double utilisation, std::int64_t dropped, double probability) {
  RoundingMetrics metrics;
  metrics.tile = 8;
  metrics.tiles = tiles;
  metrics.tile_utilisation = utilisation;
  metrics.dropped = dropped;
  metrics.mean_dropped_probability = probability;
  return metrics;
}

const BatchSpread& of(const std::vector<std::optional<BatchSpread>>& spread, std::string_view name) {
  return *spread[static_cast<std::size_t>(find_rounding_metric(name) - std::begin(kRoundingMetrics))];
}

}  // namespace

TEST_CASE("mean, deviation and worst group of each metric", "[analysis][batches]") {
  const std::vector<RoundingMetrics> groups = {group(10, 0.5, 0, 0), group(14, 0.75, 4, 0.25),
                                               group(12, 0.25, 2, 0.75)};
  const auto spread = spread_over(groups);
  CHECK(of(spread, "tiles").mean == 12);
  CHECK(*of(spread, "tiles").deviation == 2);  // of a sample: 4 + 4 + 0 over 3 - 1
  CHECK(of(spread, "tiles").worst == 14);
  CHECK(of(spread, "tiles").worst_group == 1);
  CHECK(of(spread, "tile_utilisation").worst == 0.25);  // the lowest: higher is better
  CHECK(of(spread, "tile_utilisation").worst_group == 2);
  CHECK(of(spread, "mean_dropped_probability").mean == 0.5);  // of the groups that drop anything
  CHECK(*of(spread, "mean_dropped_probability").deviation == Approx(std::sqrt(0.125)));
  CHECK_FALSE(of(spread_over(std::vector{groups[0]}), "tiles").deviation);
}

TEST_CASE("metrics that are not known in any group have no spread", "[analysis][batches]") {
  RoundingMetrics counted = group(3, 0.5, 1, 0);
  counted.known = Known::kCounts;
  forget_unknown(counted);
  const auto spread = spread_over(std::vector{counted, counted});
  for (std::size_t i = 0; i < spread.size(); ++i) {
    CHECK(spread[i].has_value() == (kRoundingMetrics[i].needs == Known::kCounts));
  }
  CHECK(std::isnan(mean_over(std::vector{counted, counted}).dropped_gate_mass));
}

TEST_CASE("a network's groups are added over its layers, group by group", "[analysis][batches]") {
  ExperimentRecord experiment;
  experiment.config.tiles = {8};
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    StrategyRecord record;
    record.layer = layer;
    record.strategy.label = record.strategy.name = "none";
    record.metrics = group(10 + layer, 0.5, 0, 0);
    BatchRecord& batches = record.batches.emplace();
    batches.groups = {group(10 + layer, 0.5, 0, 0), group(20, 0.25 * static_cast<double>(layer + 1), 3, 0.5)};
    batches.worst_layer_ms = 1.5;
    experiment.strategies.push_back(record);
  }
  const std::vector<NetworkRecord> networks = summarise_network(experiment);
  REQUIRE(networks.size() == 1);
  const BatchRecord& batches = *networks[0].batches;
  CHECK(batches.groups[0].tiles == 21);
  CHECK(batches.groups[1].tiles == 40);
  CHECK(batches.groups[1].tile_utilisation == 0.375);  // the mean of 0.25 and 0.5
  CHECK(of(batches.spread, "tiles").mean == 30.5);
  CHECK(of(batches.spread, "tiles").worst_group == 1);
  CHECK(*batches.worst_layer_ms == 3);
}
