// What is judged where configs differ.
#include "analysis/compare_configs.hpp"

#include <functional>

#include "analysis/compare.hpp"
#include "catch.hpp"
#include "core/error.hpp"
#include "report/compare_text.hpp"
#include "simulated_run.hpp"

using namespace tatr;
using namespace tatr::test;
using nlohmann::json;

namespace {

using Results = std::vector<ResultExperiment>;

/// A simulated run with the config that it would have.
Results run_with_config() {
  Results results = simulate({}, 1);
  json strategies = json::array();
  for (const json& strategy : results[0].experiment["strategies"]) {
    strategies.push_back({{"label", strategy["label"]}, {"name", strategy["name"]}, {"renormalise", false}});
  }
  results[0].experiment["config"] = {{"name", "sample"},
                                     {"seed", 7},
                                     {"router", {{"experts", 3}, {"source", {{"kind", "trace"}, {"file", "a"}}}}},
                                     {"tile", {8}},
                                     {"strategies", strategies},
                                     {"layer", {{"hidden", 256}}},
                                     {"measure", {{"samples", 20}, {"l2", "cold"}}}};
  return results;
}

/// The same of a config in which something else stands.
Results changed(const char* pointer, const json& value) {
  Results results = run_with_config();
  results[0].experiment["config"][json::json_pointer(pointer)] = value;
  results[0].experiment["config_hash"] = "fedcba9876543210";
  return results;
}

Results without(Results results, const std::string& label) {
  const auto is_it = [&](const json& strategy) { return strategy["label"] == label; };
  for (json* list : {&results[0].experiment["strategies"], &results[0].experiment["config"]["strategies"]}) {
    list->erase(std::remove_if(list->begin(), list->end(), is_it), list->end());
  }
  results[0].experiment["config_hash"] = "fedcba9876543210";
  return results;
}

std::size_t judged(const Comparison& comparison) {
  std::size_t count = 0;
  for (const MetricChange& metric : comparison.experiments.at(0).metrics) {
    count += metric.change && *metric.change != Change::kMissing;
  }
  return count;
}

std::size_t shown(const Comparison& comparison) {
  std::size_t count = 0;
  for (const MetricChange& metric : comparison.experiments.at(0).metrics) count += metric.shown.has_value();
  return count;
}

bool has_note(const Comparison& comparison, const std::string& note) {
  const auto& notes = comparison.experiments.at(0).notes;
  return std::any_of(notes.begin(), notes.end(),
                     [&](const std::string& one) { return one.find(note) != std::string::npos; });
}

std::string reason_of_missing(const Comparison& comparison) {
  for (const MetricChange& metric : comparison.experiments.at(0).metrics) {
    if (metric.change == Change::kMissing) return metric.reason;
  }
  return {};
}

}  // namespace

TEST_CASE("how long is measured decides nothing: all is judged, and the difference is named") {
  const Results base = run_with_config();
  const Comparison comparison = compare_results(base, changed("/measure/samples", 100), {});
  CHECK(judged(comparison) == judged(compare_results(base, base, {})));
  CHECK(comparison.count(Change::kMissing) == 0);
  CHECK(has_note(comparison, "the configs differ: /measure/samples: 20 → 100"));
  const std::string text = comparison_text(comparison, {});
  CHECK(text.find("0123456789abcdef → fedcba9876543210") != std::string::npos);
  CHECK(text.find("\nno regression: ") != std::string::npos);
  Results slower = changed("/measure/samples", 100);
  for (json& sample : slower[0].experiment["strategies"][2]["timing"]["layer_ms"]["samples"]) {
    sample = 1.1 * sample.get<double>();
  }
  CHECK(compare_results(base, slower, {}).count(Change::kSlower) == 1);
}

TEST_CASE("of another routing nothing is judged, whatever differs") {
  const Results base = run_with_config();
  for (Results next : {changed("/seed", 8), changed("/router/experts", 4)}) {
    next[0].experiment["strategies"][1]["tiles"] = 3000;
    next[0].experiment["routing"][0]["counts"]["max"] = 8;
    const Comparison comparison = compare_results(base, next, {});
    CHECK(judged(comparison) == 0);
    CHECK(shown(comparison) == 3 * 7);
    CHECK(comparison.times_not_judged() > 7);
    CHECK(comparison.count(Change::kMissing) == 1);
    CHECK(reason_of_missing(comparison).find("other routing (/") == 0);
    CHECK_FALSE(regressed(comparison, false));
    CHECK(regressed(comparison, true));  // nothing was judged, which --strict does not let pass
    CHECK(outcome_line(comparison, false) == "nothing could be judged, figures are side by side: 1 missing");
    const std::string text = comparison_text(comparison, {});
    CHECK(text.find("Tiles BASE") != std::string::npos);
    CHECK(text.find("3,000") != std::string::npos);
    CHECK(comparison_markdown(comparison, {}).find("| Lost gate mass NEW |") != std::string::npos);
  }
}

TEST_CASE("a trace that held something else is another routing; one of another name is not") {
  const auto with_digest = [](Results results, const char* digest) {
    results[0].experiment["inputs"] = {{"trace", {{"digest", digest}}}, {"calibration", nullptr}};
    return results;
  };
  const Results base = with_digest(run_with_config(), "a");
  CHECK(judged(compare_results(base, with_digest(run_with_config(), "b"), {})) == 0);
  CHECK(reason_of_missing(compare_results(base, with_digest(run_with_config(), "b"), {})).find("digest a → b") !=
        std::string::npos);
  const Results moved = changed("/router/source/file", "b");
  CHECK(judged(compare_results(base, with_digest(moved, "a"), {})) > 100);
  CHECK(judged(compare_results(run_with_config(), moved, {})) == 0);  // it is not known to be the same
}

TEST_CASE("of another layer, or other caches, integers are judged and times are not") {
  const Results base = run_with_config();
  for (Results next : {changed("/layer/hidden", 512), changed("/measure/l2", "warm")}) {
    Comparison comparison = compare_results(base, next, {});
    CHECK(comparison.count_times(Change::kSame) == 0);
    CHECK(comparison.times_not_judged() > 7);
    CHECK(comparison.count(Change::kSame) > 7 * 20);
    CHECK(reason_of_missing(comparison).find("times are of other work (/") == 0);
    next[0].experiment["strategies"][1]["tiles"] = 3000;
    CHECK(compare_results(base, next, {}).count(Change::kChanged) == 1);
  }
}

TEST_CASE("strategies that both have are judged; others, and those of other options, are named") {
  const Results base = run_with_config();
  const std::size_t all = judged(compare_results(base, base, {})) - 6;  // the routing's own
  Comparison comparison = compare_results(base, without(run_with_config(), "half"), {});
  CHECK(judged(comparison) - 6 == all / 7 * 6);
  CHECK(reason_of_missing(comparison) == "NEW's config lacks half");
  comparison = compare_results(without(run_with_config(), "half"), base, {});
  CHECK(judged(comparison) - 6 == all / 7 * 6);
  CHECK(has_note(comparison, "/strategies/half"));
  comparison = compare_results(base, changed("/strategies/6/renormalise", true), {});
  CHECK(judged(comparison) - 6 == all / 7 * 6);
  CHECK(shown(comparison) == 3);
  CHECK(reason_of_missing(comparison).find("other options of half (/renormalise: false → true)") == 0);

  Results other_tile = changed("/tile", {16});
  for (json& strategy : other_tile[0].experiment["strategies"]) strategy["tile"] = 16;
  try {
    compare_results(base, other_tile, {});
    FAIL("nothing is in common");
  } catch (const InputError& error) {
    CHECK(std::string(error.what()).find("nothing to compare (the configs differ: /tile") != std::string::npos);
  }
}

TEST_CASE("another group of tokens is not judged") {
  Results base = run_with_config(), next = changed("/tile", {8, 16});
  base[0].experiment["strategies"][3]["batches"] = {
      {"median_group", 1}, {"worst_group", 2}, {"metrics", json::object()}};
  next[0].experiment["strategies"][3]["batches"] = {
      {"median_group", 3}, {"worst_group", 2}, {"metrics", json::object()}};
  CHECK(shown(compare_results(base, next, {})) == 3);
  next[0].experiment["config"] = base[0].experiment["config"];  // of one config it is a change like any other
  CHECK(shown(compare_results(base, next, {})) == 0);
}

TEST_CASE("a name that one side has under several configs is matched by its hash alone") {
  const Results base = run_with_config();
  Results next = changed("/seed", 8);
  next.push_back(next[0]);
  next[1].experiment["config_hash"] = "aaaaaaaaaaaaaaaa";
  Results with_base = next;
  with_base.push_back(base[0]);
  CHECK(judged(compare_results(base, with_base, {})) > 100);
  CHECK_THROWS_AS(compare_results(base, next, {}), InputError);
}
