// What is advised for hand-made candidates: limits, ties, the front, and when rounding is not worth it.
#include "analysis/advice.hpp"

#include <fmt/format.h>

#include <map>

#include "catch.hpp"
#include "core/error.hpp"
#include "report/advice_text.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

/// Candidates of one layer.
class Candidates {
 public:
  Candidates() {
    experiment_.calibration = default_calibration();
    experiment_.reach = "as far as by hand";
    experiment_.config.tiles = {8, 16};
  }

  /// The estimate of the last one added is beyond its calibration.
  void mark_beyond(const std::string& what) { beyond_[perplexities_.size() - 1] = what; }

  struct Found {
    std::int64_t tile, tiles;
    double perplexity, mass;
    std::optional<double> ms = std::nullopt;
  };
  void add(StrategyKind kind, const std::string& label, const Found& found) {
    StrategyRecord record = plain_record();
    record.strategy = strategy(kind, label);
    record.strategy.canonical = R"({"name":")" + label + R"("})";
    record.metrics.tile = found.tile;
    record.metrics.tiles = found.tiles;
    record.metrics.dropped_gate_mass = found.mass;
    if (found.ms) {
      record.timing = timing(*found.ms, /*cpu_reduced=*/false);
      record.timing->round_us = series({100.0}, 100.0);
    }
    experiment_.strategies.push_back(record);
    perplexities_.push_back(found.perplexity);
  }

  Advice advise(const AdviceLimits& limits, bool name_uncalibrated = false) {
    experiment_.network = summarise_network(experiment_);
    std::vector<NetworkRecord>& networks = experiment_.network;
    for (std::size_t i = 0; i < networks.size(); ++i) {
      networks[i].quality = {};
      if (perplexities_[i] > 100) {
        networks[i].quality.why_not = "out of range";
        continue;
      }
      const double half = networks[i].kind == StrategyKind::kNone ? 0 : 0.001;
      networks[i].quality.post_hoc =
          PerplexityEstimate{perplexities_[i], perplexities_[i] - half, perplexities_[i] + half, "by hand"};
      if (beyond_.count(i) > 0) networks[i].quality.beyond = {beyond_[i]};
    }
    return tatr::advise(experiment_, limits, name_uncalibrated);
  }

  const ExperimentRecord& experiment() const { return experiment_; }

 private:
  ExperimentRecord experiment_ = [] {
    ExperimentRecord record = test::experiment();
    record.strategies.clear();
    return record;
  }();
  std::vector<double> perplexities_;
  std::map<std::size_t, std::string> beyond_;
};

/// Rows of whole tiles: none 96 and 112, down 64, nearest 80, budget 80, up 96.
Candidates usual() {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 12, 0, 0});
  candidates.add(StrategyKind::kDown, "down", {8, 8, 0.04, 0.1});
  candidates.add(StrategyKind::kNearest, "nearest", {8, 10, 0.003, 0.02});
  candidates.add(StrategyKind::kBudget, "budget", {8, 10, 0.0005, 0.03});
  candidates.add(StrategyKind::kNone, "none", {16, 7, 0, 0});
  candidates.add(StrategyKind::kUp, "up", {16, 6, -0.001, 0});
  candidates.add(StrategyKind::kDown, "down", {16, 2, 1000, 0.6});
  return candidates;
}

/// Without line breaks, wherever they fall.
std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const char blank = c == '\n' ? ' ' : c;
    if (blank != ' ' || line.empty() || line.back() != ' ') line += blank;
  }
  return line;
}

AdviceLimits perplexity(double most) {
  AdviceLimits limits;
  limits.perplexity = most;
  return limits;
}

std::vector<std::string> labels(const std::vector<AdviceChoice>& choices) {
  std::vector<std::string> labels;
  for (const AdviceChoice& choice : choices) labels.push_back(choice.network->label);
  return labels;
}

}  // namespace

TEST_CASE("the cheapest within a limit on quality", "[report][advice]") {
  Candidates candidates = usual();
  const Advice advice = candidates.advise(perplexity(0.0015));  // where budget's interval ends
  REQUIRE(advice.best.has_value());
  CHECK(advice.best->network->label == "budget");
  CHECK(advice.best->speedup == Approx(1.2));  // 96 rows over 80: the cheapest none is the one at tile 8
  CHECK(advice.unrounded.network->tile == 8);
  CHECK(advice.runner_up->network->label == "up");  // as many rows as none, and better
  CHECK(advice.worth_it);
  CHECK(advice.cost == AdviceCost::kTileRows);
  CHECK(advice.candidates == 7);
  CHECK(advice.not_estimated.size() == 1);
  CHECK(labels(advice.front) == std::vector<std::string>{"down", "budget", "up"});
  CHECK(advice.verdict.find("1.20 times") != std::string::npos);
  CHECK(candidates.advise(perplexity(0.0014)).best->network->label == "up");  // the estimate alone keeps no limit

  CHECK(candidates.advise(perplexity(0.05)).best->network->label == "down");
}

TEST_CASE("by the dropped mass, estimates or not", "[report][advice]") {
  Candidates candidates = usual();
  AdviceLimits limits;
  limits.dropped_mass = 0.025;
  const Advice advice = candidates.advise(limits);
  CHECK(advice.best->network->label == "nearest");
  CHECK(!advice.by_perplexity());
  CHECK(advice.not_estimated.empty());
  CHECK(labels(advice.front) == std::vector<std::string>{"down", "down", "nearest", "none"});
  limits.perplexity = 0.001;  // both must be kept
  CHECK(candidates.advise(limits).best->network->label == "up");
}

TEST_CASE("the best quality within a limit on time", "[report][advice]") {
  Candidates candidates = usual();
  AdviceLimits limits;
  limits.time_share = 0.9;
  const Advice advice = candidates.advise(limits);
  CHECK(advice.best->network->label == "budget");
  CHECK(advice.runner_up->network->label == "down");  // nearest costs as much as budget, and is worse
  limits.time_share = 1.0;
  CHECK(candidates.advise(limits).verdict.find("not needed") != std::string::npos);
  CHECK(!candidates.advise(limits).worth_it);
  limits.time_share = 0.5;
  CHECK(!candidates.advise(limits).best.has_value());
  CHECK(candidates.advise(limits).verdict.find("Nothing keeps the limits") != std::string::npos);
}

TEST_CASE("rounding is not worth it", "[report][advice]") {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 100, 0, 0});
  candidates.add(StrategyKind::kDown, "down", {8, 50, 0.04, 0.1});
  Advice advice = candidates.advise(perplexity(0.001));
  CHECK(advice.best->network->label == "none");
  CHECK(!advice.worth_it);
  CHECK(advice.verdict.find("not worth it") != std::string::npos);
  candidates.add(StrategyKind::kBudget, "budget", {8, 99, 0, 0.01});
  advice = candidates.advise(perplexity(0.001));
  CHECK(advice.best->network->label == "budget");
  CHECK(!advice.worth_it);
  CHECK(advice.verdict.find("1.01 times") != std::string::npos);
}

TEST_CASE("times count only where all candidates have them", "[report][advice]") {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 12, 0, 0, 6.0});
  candidates.add(StrategyKind::kNearest, "nearest", {8, 10, 0.0005, 0.02, 4.9});  // 5 ms with its rounding
  AdviceLimits limits;
  limits.time_ms = 5.1;
  const Advice advice = candidates.advise(limits);
  CHECK(advice.cost == AdviceCost::kMeasured);
  CHECK(advice.best->network->label == "nearest");
  CHECK(advice.best->cost == Approx(5.0));
  CHECK(advice.best->speedup == Approx(6.1 / 5.0));
  const auto json = advice_json(advice, candidates.experiment());
  CHECK(json["cost"] == "measured");
  CHECK(json["best"]["time_ms"].get<double>() == Approx(5.0));
  CHECK(json["best"]["strategy"]["name"] == "nearest");
  candidates.add(StrategyKind::kDown, "down", {8, 8, 0.04, 0.1});  // not timed
  CHECK_THROWS_AS(candidates.advise(limits), UsageError);
  CHECK(candidates.advise(perplexity(0.001)).cost == AdviceCost::kTileRows);
}

TEST_CASE("modelled times of the layer are a cost, and named so", "[report][advice][model]") {
  ExperimentRecord record = modelled_experiment("a100");
  record.network = summarise_network(record);
  AdviceLimits limits;
  limits.dropped_mass = 0.5;
  limits.time_ms = 3;
  const Advice advice = tatr::advise(record, limits);
  CHECK(advice.cost == AdviceCost::kModelled);
  REQUIRE(advice.best.has_value());
  CHECK(advice.best->network->label == "down");
  CHECK(advice.best->cost == Approx(2.004));  // 4 us of rounding
  CHECK(advice_json(advice, record)["cost"] == "modelled_time");
  const std::string text = one_line(advice_text(advice, record, {}));
  CHECK(text.find("Pareto Front, modelled") != std::string::npos);
  CHECK(text.find("by the error of ratios: 2.9 % at one tile, 25 % across tiles") != std::string::npos);
  CHECK(text.find("datasheet, not validated") != std::string::npos);
}

TEST_CASE("a gain of times has an interval, and is surely one only above 1", "[report][advice]") {
  ExperimentRecord record = modelled_experiment("h100");
  record.network = summarise_network(record);
  AdviceLimits limits;
  limits.dropped_mass = 0.5;
  const Advice advice = tatr::advise(record, limits);
  REQUIRE(advice.best->gain.has_value());
  const double ratio = advice.unrounded.cost / advice.best->cost, error = record.model->error.ratio;
  CHECK(advice.best->gain->low == Approx(ratio / (1 + error)));
  CHECK(advice.best->gain->high == Approx(ratio / (1 - error)));
  CHECK(advice.worth_it);
  const nlohmann::json json = advice_json(advice, record)["best"];
  CHECK(json["speedup_interval"] == nlohmann::json({advice.best->gain->low, advice.best->gain->high}));
  CHECK(json["surely_faster"] == true);
  CHECK(advice_text(advice, record, {}).find("× [") != std::string::npos);

  record.strategies.back().timing->layer_ms.modelled->value = 0.95 * advice.unrounded.cost;
  record.network = summarise_network(record);
  record.model->error.ratio = 0.1;
  const Advice doubtful = tatr::advise(record, limits);
  CHECK(doubtful.certain);
  CHECK(!doubtful.worth_it);
  CHECK(doubtful.verdict.find("may be worth it") != std::string::npos);
  CHECK(doubtful.verdict.find("too close to tell") != std::string::npos);
}

TEST_CASE("measured gains have the interval of paired samples, rounding included", "[report][advice]") {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 12, 0, 0, 4.9});
  candidates.add(StrategyKind::kDown, "down", {16, 8, 0.0005, 0.1, 2.4});
  AdviceLimits limits;
  limits.perplexity = 0.002;
  const Advice advice = candidates.advise(limits);
  CHECK(advice.best->speedup == Approx(5.0 / 2.5));  // 0.1 ms of rounding each
  CHECK(advice.best->gain.has_value());
  CHECK(advice_json(advice, candidates.experiment())["surely_kept"] == true);
  limits.perplexity = 0.001;  // below 0.0005 + 0.001
  CHECK(candidates.advise(limits).best->network->kind == StrategyKind::kNone);
}

TEST_CASE("across tiles less of the model's error cancels", "[report][advice][model]") {
  ModelError error{0.02, 0.06, 0.01, 10, "here", true};
  CHECK(error.of_ratio(true) == 0.01);
  CHECK(error.of_ratio(false) == 0.06);  // of a time, where nothing is known
  error.ratio_across_tiles = 0.04;
  CHECK(error.of_ratio(false) == 0.04);
}

TEST_CASE("rows of the front that differ read differently", "[report][advice]") {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 12, 0, 0, 4.9});
  candidates.add(StrategyKind::kDown, "down", {8, 8, 0.02, 0.1, 4.4001});
  candidates.add(StrategyKind::kNearest, "nearest", {8, 9, 0.01, 0.1, 4.4023});
  const Advice advice = candidates.advise(perplexity(0.1));
  const std::string text = advice_text(advice, candidates.experiment(), {});
  CHECK(text.find("4.500 ") != std::string::npos);
  CHECK(text.find("4.502 ") != std::string::npos);
}

TEST_CASE("what the answer names has a row, and is told from the front", "[report][advice]") {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 100, 0, 0});
  candidates.add(StrategyKind::kUp, "up", {8, 90, -0.001, 0});
  for (int i = 0; i < 20; ++i) {
    candidates.add(StrategyKind::kDown, fmt::format("down {}", i), {8, 50 + i, 0.04 - 0.001 * i, 0.1});
  }
  const auto front = [&](bool name_uncalibrated) {
    const Advice advice = candidates.advise(perplexity(0.04), name_uncalibrated);
    const std::string text = advice_text(advice, candidates.experiment(), {});
    return text.substr(0, text.find("Assumed:"));
  };
  const std::string text = front(false);
  CHECK(text.find("  none † ") != std::string::npos);
  CHECK(text.find("7 of 21 rows") != std::string::npos);
  CHECK(one_line(text).find("†: not on the front, for something cheaper is as good") != std::string::npos);
  candidates.add(StrategyKind::kBudget, "better", {8, 45, 0.039, 0});
  candidates.mark_beyond("by hand");
  CHECK(front(true).find("  better * ") != std::string::npos);
  CHECK(front(false).find("better") == std::string::npos);
}

TEST_CASE("where nothing keeps a limit on time the row nearest to it is shown", "[report][advice]") {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 100, 0, 0});
  for (int i = 0; i < 20; ++i) {
    candidates.add(StrategyKind::kDown, fmt::format("down {}", i), {8, 50 + i, 0.04 - 0.001 * i, 0.1});
  }
  AdviceLimits limits;
  limits.time_share = 0.2;
  const Advice advice = candidates.advise(limits);
  CHECK(!advice.best.has_value());
  CHECK(advice_text(advice, candidates.experiment(), {}).find("down 0 ") != std::string::npos);
  limits.time_share = std::nullopt;
  limits.perplexity = -0.01;
  CHECK(advice_text(candidates.advise(limits), candidates.experiment(), {}).find("none ") != std::string::npos);
}

TEST_CASE("advice tells how far its estimate and its model reach", "[report][advice]") {
  Candidates candidates = usual();
  const Advice advice = candidates.advise(perplexity(0.0015));
  const std::string text = one_line(advice_text(advice, candidates.experiment(), {}));
  CHECK(text.find("at most +0.15%, upper end of its [90%]") != std::string::npos);
  CHECK(text.find("[90%]: as far as by hand") != std::string::npos);

  ExperimentRecord record = modelled_experiment("h100");
  for (StrategyRecord& one : record.strategies) one.metrics.tile = 64;
  record.strategies.front().metrics.counts_after = {150, 150, 20};
  record.network = summarise_network(record);
  AdviceLimits limits;
  limits.dropped_mass = 0.5;
  const Advice doubtful = tatr::advise(record, limits);
  CHECK(doubtful.unrounded.doubt.find("modelled too short") != std::string::npos);
  CHECK(advice_text(doubtful, record, {}).find("Warning: the plain top-k that gains are over") != std::string::npos);
  CHECK(advice_json(doubtful, record)["unrounded"]["doubt"].is_string());
}

TEST_CASE("advice in words keeps to the width and says what is modelled", "[report][advice]") {
  Candidates candidates = usual();
  const Advice advice = candidates.advise(perplexity(0.0015));
  const std::string text = advice_text(advice, candidates.experiment(), {});
  CHECK(text.find("Use: budget, tile 8, 10 tiles: 1.20× modelled") != std::string::npos);
  CHECK(text.find("Runner-up: up, tile 16, 6 tiles") != std::string::npos);
  CHECK(text.find("Cost is modelled, not measured") != std::string::npos);
  CHECK(text.find("1 of 7 settings") != std::string::npos);
  CHECK(advice_json(advice, candidates.experiment())["best"]["time_ms"].is_null());
}

TEST_CASE("an estimate beyond its calibration never wins in silence", "[report][advice]") {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 12, 0, 0});
  candidates.add(StrategyKind::kNearest, "nearest", {8, 10, 0.0005, 0.02});
  candidates.add(StrategyKind::kBudget, "tiles", {8, 9, 0.0002, 0.03});
  candidates.mark_beyond("budget among tiles");
  const Advice advice = candidates.advise(perplexity(0.0015));
  CHECK(advice.best->network->label == "nearest");
  CHECK(advice.uncalibrated->network->label == "tiles");
  CHECK(advice.certain);
  CHECK(labels(advice.front) == std::vector<std::string>{"tiles", "nearest", "none"});  // it hides neither
  CHECK(advice.verdict.find("tiles at tile 8") == std::string::npos);
  CHECK(advice.beyond >= 1);
  const std::string text = advice_text(advice, candidates.experiment(), {});
  CHECK(text.find("Use: nearest") != std::string::npos);
  CHECK(text.find("  tiles ") == std::string::npos);
  CHECK(text.find("beyond that calibration: 1 settings") != std::string::npos);
  const auto json = advice_json(advice, candidates.experiment());
  CHECK(json["uncalibrated"]["estimate_beyond"][0] == "budget among tiles");
  CHECK(json["certain"] == true);

  const Advice named = candidates.advise(perplexity(0.0015), true);  // where it is asked for
  CHECK(named.best->network->label == "nearest");
  CHECK(named.verdict.find("beyond its calibration tiles at tile 8 would be better") != std::string::npos);
  AdviceTextOptions details;
  details.details = true;
  const std::string marked = advice_text(named, candidates.experiment(), details);
  CHECK(marked.find("  tiles *") != std::string::npos);
  CHECK(marked.find("*: not calibrated, never advised: budget among tiles (tiles)") != std::string::npos);

  AdviceLimits time;
  time.time_share = 0.8;  // only "tiles" is as cheap
  CHECK(advice_text(candidates.advise(time), candidates.experiment(), {}).find("tiles, tile 8") == std::string::npos);
  const Advice only = candidates.advise(time, true);
  CHECK(!only.best.has_value());
  CHECK(!only.certain);
  CHECK(!only.worth_it);
  CHECK(only.verdict.find("Only settings beyond what the estimate is calibrated on") == 0);
  const std::string words = advice_text(only, candidates.experiment(), {});
  CHECK(words.find("Use: ") == std::string::npos);
  CHECK(words.find("Not advised, for its estimate is not calibrated: tiles") != std::string::npos);
  CHECK(words.find("(not calibrated:") != std::string::npos);

  const Advice plain = candidates.advise(perplexity(0.0013));  // nearest is too bad
  CHECK(plain.best->network->label == "none");
  CHECK(!plain.certain);
  CHECK(plain.verdict.find("beat plain top-k within the limits") != std::string::npos);
  CHECK(advice_text(plain, candidates.experiment(), {}).find("Use: ") == std::string::npos);

  AdviceLimits mass;
  mass.dropped_mass = 0.05;  // is counted: no estimate decides
  CHECK(candidates.advise(mass).best->network->label == "tiles");
  CHECK(candidates.advise(mass).certain);
}

TEST_CASE("without any estimate nothing is advised, and the reasons are told", "[report][advice]") {
  Candidates candidates;
  candidates.add(StrategyKind::kNone, "none", {8, 12, 0, 0});
  candidates.add(StrategyKind::kNearest, "nearest", {8, 10, 1000, 0.02});
  candidates.add(StrategyKind::kDown, "down", {8, 8, 1000, 0.1});
  const Advice advice = candidates.advise(perplexity(0.001));
  CHECK(!advice.certain);
  CHECK(!advice.worth_it);
  CHECK(advice.verdict.find("No advice: none of the 2 settings that round has an estimate (out of range)") == 0);
  AdviceTextOptions details;
  details.details = true;
  CHECK(advice_text(advice, candidates.experiment(), details).find("- out of range (nearest, down)") !=
        std::string::npos);
  CHECK(advice_json(advice, candidates.experiment())["not_estimated"][1]["why"] == "out of range");
  AdviceLimits mass;
  mass.dropped_mass = 0.05;
  CHECK(candidates.advise(mass).best->network->label == "nearest");

  candidates.add(StrategyKind::kUp, "up", {8, 13, -0.001, 0});  // some are known, though not to be cheaper
  const Advice some = candidates.advise(perplexity(0.001));
  CHECK(some.certain);
  CHECK(some.best->network->label == "none");
  CHECK(advice_text(some, candidates.experiment(), {}).find("Use: none") != std::string::npos);
  CHECK(some.verdict.find("of those that the estimate covers") != std::string::npos);
}
