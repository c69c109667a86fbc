// The estimated perplexity change: its formula by hand, its range, and the measurements that it was fitted to.
#include "quality/estimate.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "catch.hpp"
#include "core/error.hpp"
#include "json/json_text.hpp"

using namespace tatr;

namespace {

StrategyConfig strategy(StrategyKind kind, const std::string& name) {
  StrategyConfig config;
  config.kind = kind;
  config.name = name;
  return config;
}

RouterConfig router(std::int64_t tokens = 16384) {
  RouterConfig config;
  config.tokens = tokens;
  config.experts = 256;
  config.top_k = 8;
  config.source.options = TraceSource{};
  return config;
}

RoundingMetrics metrics(double mean, double square, double cube, double added_share = 0) {
  RoundingMetrics metrics;
  metrics.dropped = 1;
  metrics.dropped_gate_mass = mean;
  metrics.mean_square_dropped_mass = square;
  metrics.mean_cube_dropped_mass = cube;
  metrics.added_share = added_share;
  return metrics;
}

/// One half of the tokens loses a, the other b.
RoundingMetrics halves(double a, double b, double added_share = 0) {
  return metrics((a + b) / 2, (a * a + b * b) / 2, (a * a * a + b * b * b) / 2, added_share);
}

QualityEstimate estimate(const Calibration& calibration, const StrategyConfig& strategy,
                         const std::vector<RoundingMetrics>& layers, std::int64_t tile = 128,
                         const RouterConfig& config = router()) {
  std::vector<const RoundingMetrics*> pointers;
  for (const RoundingMetrics& layer : layers) pointers.push_back(&layer);
  return estimate_quality(calibration, config, strategy, tile, pointers);
}

/// ln(perplexity) changes by 2 D - 0.01 sqrt(A).
Calibration simple_calibration() {
  Calibration calibration;
  calibration.name = "by hand";
  calibration.damage = 2;
  calibration.power = 1;
  calibration.gain = 0.01;
  calibration.absolute_error = 0.001;
  calibration.relative_error = 0.1;
  calibration.largest_damage = 0.05;
  calibration.largest_dropped_mass = 0.5;
  calibration.largest_severity = 0.9;
  calibration.largest_added_share = 0.5;
  calibration.trained_source = "a paper";
  calibration.trained["nearest"] = {{2, 0.01, 0.002}, {8, -0.01, 0.004}};
  return calibration;
}

const StrategyConfig kNearest = strategy(StrategyKind::kNearest, "nearest");

/// A row of src/quality/other_models.json.
std::vector<RoundingMetrics> layers_of(const nlohmann::json& row) {
  std::vector<RoundingMetrics> layers;
  for (const auto& layer : row["layers"]) layers.push_back(metrics(layer[0], layer[1], layer[2], layer[3]));
  return layers;
}

double quantile_of(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

}  // namespace

TEST_CASE("the fifth moment is exact for two groups of tokens and a lower bound for any", "[quality]") {
  const auto fifth = [](double a, double b) { return (std::pow(a, 5) + std::pow(b, 5)) / 2; };
  for (const auto& [a, b] : {std::pair{0.2, 0.6}, {0.0, 0.5}, {0.3, 0.3}, {0.01, 0.9}}) {
    const RoundingMetrics m = halves(a, b);
    CHECK(fifth_moment(m.dropped_gate_mass, m.mean_square_dropped_mass, m.mean_cube_dropped_mass) ==
          Approx(fifth(a, b)).epsilon(1e-9));
  }
  CHECK(fifth_moment(0, 0, 0) == 0);

  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform;
  for (int trial = 0; trial < 200; ++trial) {
    double moment[6] = {};
    const double power = 1 + 4 * uniform(random);
    for (int token = 0; token < 50; ++token) {
      const double lost = std::pow(uniform(random), power);
      for (int n = 1; n <= 5; ++n) moment[n] += std::pow(lost, n) / 50;
    }
    const double bound = fifth_moment(moment[1], moment[2], moment[3]);
    CHECK(bound <= moment[5] * (1 + 1e-9));
    CHECK(bound >= 0.5 * moment[5]);
  }
}

TEST_CASE("an estimate follows the calibration", "[quality]") {
  const double damage = (std::pow(0.2, 5) + std::pow(0.5, 5)) / 2;
  const QualityEstimate one = estimate(simple_calibration(), kNearest, {halves(0.2, 0.5, 0.04)});
  REQUIRE(one.post_hoc.has_value());
  const double change = 2 * damage - 0.01 * 0.2, half = 0.1 * change;
  CHECK(one.post_hoc->value == Approx(std::expm1(change)));
  CHECK(one.post_hoc->low == Approx(std::expm1(change - half)));
  CHECK(one.post_hoc->high == Approx(std::expm1(change + half)));
  CHECK(one.post_hoc->calibration == "by hand");

  const std::vector<RoundingMetrics> alike(3, halves(0.2, 0.5, 0.04));  // a layer stands for layers like it
  CHECK(estimate(simple_calibration(), kNearest, alike).post_hoc->value == Approx(one.post_hoc->value));
  const QualityEstimate two = estimate(simple_calibration(), kNearest, {halves(0.2, 0.5), halves(0, 0)});
  CHECK(two.post_hoc->value == Approx(std::expm1(2 * damage / 2)));

  const QualityEstimate small = estimate(simple_calibration(), kNearest, {halves(0.1, 0.1)});
  CHECK(small.post_hoc->high == Approx(std::expm1(2e-5 + 0.001)));  // the absolute part of the error
}

TEST_CASE("nothing dropped, nothing added: no change at all", "[quality]") {
  RoundingMetrics untouched;
  untouched.padded = 5;
  for (const StrategyConfig& config : {strategy(StrategyKind::kNone, "none"), strategy(StrategyKind::kUp, "up")}) {
    const QualityEstimate quality = estimate(simple_calibration(), config, {untouched});
    REQUIRE(quality.post_hoc.has_value());
    CHECK(quality.post_hoc->value == 0);
    CHECK(quality.post_hoc->high == 0);
  }
}

TEST_CASE("outside what was calibrated there is a reason and no number", "[quality]") {
  const auto why = [](const RoundingMetrics& layer, const StrategyConfig& config = kNearest,
                      const RouterConfig& shape = router()) {
    const QualityEstimate quality = estimate(simple_calibration(), config, {layer}, 128, shape);
    CHECK(!quality.post_hoc.has_value());
    return quality.why_not;
  };
  CHECK(why(halves(0.6, 0.7)) == "out of range: damage 0.123, calibrated up to 0.05");
  CHECK(why(metrics(0.6, 0.36, 0.01)) == "out of range: dropped mass 0.6, calibrated up to 0.5");
  CHECK(why(metrics(0.001, 0.00095, 0.00093)) == "out of range: severity 0.979, calibrated up to 0.9");
  CHECK(why(halves(0.2, 0.2, 0.6)) == "out of range: added share 0.6, calibrated up to 0.5");
  StrategyConfig renormalised = kNearest;
  renormalised.renormalise = true;
  CHECK(why(halves(0.2, 0.2), renormalised) == "not calibrated for renormalised gates");
  RouterConfig raw = router();
  raw.normalise_gates = false;
  CHECK(why(halves(0.2, 0.2), kNearest, raw) == "not calibrated for gates that do not add up to 1");
}

TEST_CASE("routers that no measurement had get a reason and no number", "[quality]") {
  const std::vector<RoundingMetrics> layer = {halves(0.2, 0.3, 0.04)};
  const auto why = [&](const RouterConfig& shape, const StrategyConfig& config = kNearest) {
    const QualityEstimate quality = estimate(default_calibration(), config, layer, 128, shape);
    CHECK(quality.post_hoc.has_value() == quality.why_not.empty());
    return quality.why_not;
  };
  CHECK(why(router()).empty());
  RouterConfig sigmoid = router();
  sigmoid.scoring = Scoring::kSigmoid;
  CHECK(why(sigmoid) == "not calibrated for sigmoid routers");
  CHECK(!estimate(default_calibration(), kNearest, layer, 2048, sigmoid).trained.has_value());
  CHECK(estimate(default_calibration(), kNearest, layer, 256, router()).trained.has_value());
  CHECK(why(sigmoid, strategy(StrategyKind::kNone, "none")).empty());  // nothing happened: nothing is estimated
  RouterConfig biased = router();
  biased.selection_bias = {0.1};
  CHECK(why(biased) == "not calibrated for a selection bias");
  RouterConfig grouped = router();
  grouped.groups = ExpertGroups{8, 4};
  CHECK(why(grouped) == "not calibrated for expert groups");
  grouped.groups = ExpertGroups{1, 1};
  CHECK(why(grouped).empty());
  RouterConfig few = router();
  few.experts = 64;
  few.top_k = 2;
  CHECK(why(few) == "not calibrated for top-2 of 64 experts, but for top-8 of 256");
  few.top_k = 8;
  CHECK(why(few) == "not calibrated for top-8 of 64 experts, but for top-8 of 256");
  StrategyConfig normalised = kNearest;
  normalised.added_gate = AddedGate::kNormalised;
  CHECK(why(router(), normalised) == "not calibrated for added rows with normalised gates");
  const std::vector<RoundingMetrics> dropped_only = {halves(0.2, 0.3)};
  CHECK(estimate(default_calibration(), normalised, dropped_only).why_not.empty());  // no row was added
}

TEST_CASE("a calibration says what it covers, and an old one is of a softmax router of any shape", "[quality]") {
  const std::vector<RoundingMetrics> layer = {halves(0.2, 0.3, 0.04)};
  RouterConfig mixtral = router();
  mixtral.experts = 8;
  mixtral.top_k = 2;
  CHECK(estimate(simple_calibration(), kNearest, layer, 128, mixtral).post_hoc.has_value());
  RouterConfig sigmoid = router();
  sigmoid.scoring = Scoring::kSigmoid;
  CHECK(estimate(simple_calibration(), kNearest, layer, 128, sigmoid).why_not == "not calibrated for sigmoid routers");

  Calibration own = simple_calibration();
  own.covers = {Scoring::kSigmoid, AddedGate::kNormalised, true, true, {64, 512}, {4, 1 << 20}, {"nearest"}};
  sigmoid.selection_bias = {0.1};
  sigmoid.groups = ExpertGroups{8, 4};
  StrategyConfig normalised = kNearest;
  normalised.added_gate = AddedGate::kNormalised;
  CHECK(estimate(own, normalised, layer, 128, sigmoid).post_hoc.has_value());
  CHECK(estimate(own, kNearest, layer, 128, sigmoid).why_not ==
        "not calibrated for added rows with the score for a gate");
  CHECK(estimate(own, normalised, layer).why_not == "not calibrated for softmax routers");
  sigmoid.experts = 16;
  CHECK(estimate(own, normalised, layer, 128, sigmoid).why_not ==
        "not calibrated for top-8 of 16 experts, but for top-4 to 1048576 of 64 to 512");
}

TEST_CASE("estimates beyond the measurements say what is beyond", "[quality]") {
  using Beyond = std::vector<std::string>;
  const std::vector<RoundingMetrics> layer = {halves(0.2, 0.3, 0.04)};
  CHECK(estimate(default_calibration(), kNearest, layer).beyond.empty());
  CHECK(estimate(default_calibration(), strategy(StrategyKind::kCapacity, "capacity"), layer).beyond ==
        Beyond{"strategy capacity"});
  StrategyConfig budget = strategy(StrategyKind::kBudget, "budget");
  CHECK(estimate(default_calibration(), budget, layer).beyond.empty());
  budget.options = BudgetOptions{.candidates = BudgetCandidates::kTiles};
  CHECK(estimate(default_calibration(), budget, layer).beyond == Beyond{"budget among tiles"});
  RouterConfig synthetic = router();
  synthetic.source.options = ZipfSource{};
  CHECK(estimate(default_calibration(), kNearest, {layer[0], layer[0]}, 128, synthetic).beyond ==
        Beyond{"logits of no network", "2 layers in place of 6"});
  CHECK(estimate(simple_calibration(), budget, layer).beyond.empty());  // it does not tell what was measured
}

TEST_CASE("how far the default calibration reaches: two models that it was not fitted to", "[quality]") {
  const nlohmann::json file = read_json_file(TATR_SOURCE_DIR "/src/quality/other_models.json");
  Calibration of_any_shape = default_calibration();
  of_any_shape.covers = {};
  std::map<std::string, std::pair<int, int>> held;  // inside the interval, of how many in range
  for (const auto& row : file["rows"]) {
    const std::string model = row["model"];
    RouterConfig shape = router(row["tokens"]);
    shape.experts = file["models"][model]["experts"];
    shape.top_k = file["models"][model]["top_k"];
    const QualityEstimate quality = estimate(of_any_shape, kNearest, layers_of(row), row["tile"], shape);
    CHECK((shape.experts == 256 || !estimate(default_calibration(), kNearest, layers_of(row), 128, shape).post_hoc));
    if (!quality.post_hoc) continue;
    const double measured = row["log_perplexity_change"];
    ++held[model].second;
    held[model].first +=
        measured >= std::log1p(quality.post_hoc->low) && measured <= std::log1p(quality.post_hoc->high);
  }
  CHECK(held["256-top8"] == std::pair{42, 62});  // docs/quality.md says these figures
  CHECK(held["64-top2"] == std::pair{9, 56});
  CHECK(default_calibration().held_elsewhere == Approx(42.0 / 62));
  CHECK(reach_words(default_calibration()).find("another training run of its shape, 68 %") != std::string::npos);
  CHECK(reach_words(simple_calibration()).find("another") == std::string::npos);
}

TEST_CASE("models trained with rounding: published figures by tokens per expert over tile", "[quality]") {
  const auto trained = [](std::int64_t tokens, const StrategyConfig& config = kNearest) {
    return estimate(simple_calibration(), config, {halves(0.2, 0.5)}, 128, router(tokens)).trained;
  };
  REQUIRE(trained(8192).has_value());  // r = 2
  CHECK(trained(8192)->value == Approx(0.01));
  CHECK(trained(8192)->calibration == "a paper");
  CHECK(trained(16384)->value == Approx(0.0).margin(1e-12));  // r = 4 lies midway between 2 and 8 on a log scale
  CHECK(trained(16384)->high == Approx(0.003));
  CHECK(trained(32768)->low == Approx(-0.014));
  CHECK(!trained(4096).has_value());
  CHECK(!trained(65536).has_value());
  CHECK(!trained(8192, strategy(StrategyKind::kDown, "down")).has_value());
}

TEST_CASE("the default calibration reproduces the measurements it was fitted to", "[quality]") {
  const nlohmann::json file = read_json_file(TATR_SOURCE_DIR "/src/quality/perplexity_vs_rounding.json");
  std::vector<double> errors;
  std::size_t inside = 0;
  for (const auto& row : file["rows"]) {
    std::vector<RoundingMetrics> layers;
    for (const auto& layer : row["layers"]) {
      layers.push_back(metrics(layer["dropped_gate_mass"], layer["mean_square_dropped_mass"],
                               layer["mean_cube_dropped_mass"], layer["added_share"]));
    }
    const QualityEstimate quality = estimate(default_calibration(), kNearest, layers);
    INFO(quality.why_not);
    REQUIRE(quality.post_hoc.has_value());
    const double measured = row["log_perplexity_change"];
    const double low = std::log1p(quality.post_hoc->low), high = std::log1p(quality.post_hoc->high);
    inside += measured >= low && measured <= high;
    if (measured > 0.002) errors.push_back(std::abs(std::log1p(quality.post_hoc->value) - measured) / measured);
  }
  CHECK(quantile_of(errors, 0.5) <= 0.12);
  CHECK(quantile_of(errors, 0.9) <= 0.45);
  CHECK(static_cast<double>(inside) >= 0.85 * static_cast<double>(file["rows"].size()));
}

TEST_CASE("a calibration file is checked before it is used", "[quality]") {
  const std::string path = TATR_SOURCE_DIR "/src/quality/perplexity_vs_rounding.json";
  try {
    read_calibration(path);
    FAIL("measurements are no calibration");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find("scripts/calibrate.py") != std::string::npos);
  }
  CHECK_THROWS_AS(read_calibration("no such file"), ConfigError);
  CHECK(read_calibration(TATR_SOURCE_DIR "/src/quality/default_calibration.json").damage ==
        default_calibration().damage);
}
