#include "analysis/compare.hpp"

#include <functional>

#include "catch.hpp"
#include "core/error.hpp"
#include "report/compare_text.hpp"
#include "simulated_run.hpp"

using namespace tatr;
using namespace tatr::test;
using nlohmann::json;

namespace {

using Results = std::vector<ResultExperiment>;

/// The simulated run with something done to one strategy of it.
Results with(const Results& results, const std::string& label, const std::function<void(json&)>& change) {
  Results changed = results;
  for (json& strategy : changed[0].experiment["strategies"]) {
    if (strategy["label"] == label) change(strategy);
  }
  return changed;
}

void scale(json& samples, double factor) {
  for (json& sample : samples) sample = sample.get<double>() * factor;
}

void scale_series(json& strategy, const char* metric, double factor) {
  scale(strategy["timing"][metric]["samples"], factor);
}

const MetricChange& metric_of(const Comparison& comparison, const std::string& label, const std::string& metric) {
  for (const MetricChange& change : comparison.experiments.at(0).metrics) {
    if (change.label == label && change.metric == metric) return change;
  }
  throw std::logic_error("no " + metric + " of " + label);
}

Results base_run() { return simulate({}, 1); }

template <class Failure>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Failure& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("a result is the same as itself") {
  const Comparison comparison = compare_results(base_run(), base_run(), {});
  CHECK(comparison.count(Change::kSame) == comparison.experiments[0].metrics.size());
  CHECK(comparison.experiments[0].metrics.size() > 7 * 25);
  CHECK_FALSE(regressed(comparison, true));
  CHECK(outcome_line(comparison, false).find("no regression: ") == 0);
  CHECK(metric_of(comparison, "nearest", "layer_ms").time->ratio->value == Approx(1));
}

TEST_CASE("any other integer is a change, and says where") {
  const Results base = base_run();
  const Comparison comparison = compare_results(base,
                                                with(base, "half",
                                                     [](json& strategy) {
                                                       strategy["tiles"] = 3;
                                                       strategy["counts_after"] = {8, 9, 1};
                                                     }),
                                                {});
  CHECK(comparison.count(Change::kChanged) == 2);
  CHECK(metric_of(comparison, "half", "tiles").reason == "2 → 3");
  CHECK(metric_of(comparison, "half", "counts_after").reason == "expert 1: 8 → 9 and 1 more");
  CHECK(regressed(comparison, false));
  Results other = base;
  other[0].experiment["routing"][0]["counts"]["max"] = 8;
  CHECK(compare_results(base, other, {}).count(Change::kChanged) == 1);
}

TEST_CASE("means may differ by the order of sums only, the output's error by a little more") {
  const Results base = base_run();
  const auto changed = [&](const char* metric, double factor) {
    return compare_results(base,
                           with(base, "down",
                                [&](json& strategy) {
                                  json& value = metric == std::string("output_error") ? strategy["timing"][metric]
                                                                                      : strategy[metric];
                                  value = value.get<double>() * factor;
                                }),
                           {})
        .count(Change::kChanged);
  };
  CHECK(changed("dropped_gate_mass", 1 + 1e-12) == 0);
  CHECK(changed("dropped_gate_mass", 1 + 1e-6) == 1);
  Results known = with(base, "down", [](json& strategy) { strategy["timing"]["output_error"] = 0.2; });
  const auto error_changed = [&](double value) {
    return compare_results(known,
                           with(known, "down", [&](json& strategy) { strategy["timing"]["output_error"] = value; }), {})
        .count(Change::kChanged);
  };
  CHECK(error_changed(0.2001) == 0);
  CHECK(error_changed(0.21) == 1);
}

TEST_CASE("slower is a regression, faster is none, and neither is the machine's own speed") {
  const Results base = base_run();
  const auto scaled = [&](double factor) {
    return compare_results(base, with(base, "up", [&](json& strategy) { scale_series(strategy, "layer_ms", factor); }),
                           {});
  };
  CHECK(metric_of(scaled(1.05), "up", "layer_ms").change == Change::kSlower);
  CHECK(metric_of(scaled(1.05), "up", "layer_ms").reason.find("over cublas_uniform: beyond 2 %") != std::string::npos);
  CHECK(scaled(1.05).count(Change::kSlower) == 1);
  CHECK(regressed(scaled(1.05), false));
  CHECK(metric_of(scaled(0.95), "up", "layer_ms").change == Change::kFaster);
  CHECK_FALSE(regressed(scaled(0.95), true));
  CHECK(metric_of(scaled(1.02), "up", "layer_ms").change == Change::kAmbiguous);
  CHECK(regressed(scaled(1.02), true));
  CHECK_FALSE(regressed(scaled(1.02), false));

  Results throttled = base;  // every sample, the yardstick's too
  for (json& strategy : throttled[0].experiment["strategies"]) {
    for (const char* metric : {"route_us", "round_us", "layer_ms", "up_ms", "down_ms", "combine_ms"}) {
      scale_series(strategy, metric, 1.4);
    }
    scale(strategy["timing"]["uniform_samples_ms"], 1.4);
  }
  const Comparison comparison = compare_results(base, throttled, {});
  CHECK_FALSE(regressed(comparison, true));
  const TimeChange& time = *metric_of(comparison, "up", "layer_ms").time;
  CHECK(time.next == Approx(1.4 * time.base));
  CHECK(comparison.experiments[0].notes.at(0).find("yardstick cublas_uniform: it took 1.400") == 0);
}

TEST_CASE("thresholds decide") {
  const Results base = base_run();
  const Results slower = with(base, "up", [](json& strategy) { scale_series(strategy, "layer_ms", 1.05); });
  CompareThresholds wide;
  wide.layer_margin = 0.2;
  CHECK(metric_of(compare_results(base, slower, wide), "up", "layer_ms").change == Change::kSame);
  CompareThresholds many;
  many.least_samples = 21;
  CHECK(metric_of(compare_results(base, slower, many), "up", "layer_ms").change == Change::kAmbiguous);
  CompareThresholds coarse;
  coarse.least_ms = 100;
  CHECK(compare_results(base, slower, coarse).count(Change::kSlower) == 0);
}

TEST_CASE("without the uniform yardstick in both runs, `none` at the same tile and layer divides, and is not judged") {
  SimulatedRun how;
  how.has_uniform = false;
  const Results base = base_run(), old = simulate(how, 2);
  const Comparison comparison = compare_results(base, old, {});
  CHECK_FALSE(metric_of(comparison, "none", "layer_ms").change);
  CHECK(metric_of(comparison, "none", "layer_ms").time->base > 0);
  CHECK(metric_of(comparison, "down", "layer_ms").reason.find("over none") != std::string::npos);
  Results alone = old;
  json& strategies = alone[0].experiment["strategies"];
  strategies.erase(strategies.begin());
  const Comparison bare = compare_results(alone, alone, {});
  CHECK(metric_of(bare, "down", "layer_ms").change == Change::kAmbiguous);
  CHECK(metric_of(bare, "down", "layer_ms").reason.find("no yardstick") == 0);
}

TEST_CASE("times of other work, or that do not pair, are ambiguous") {
  const Results base = base_run();
  const Comparison rows = compare_results(base, with(base, "up", [](json& strategy) { strategy["rows"] = 17; }), {});
  CHECK(metric_of(rows, "up", "rows").change == Change::kChanged);
  CHECK(metric_of(rows, "up", "layer_ms").change == Change::kAmbiguous);
  const Comparison odd = compare_results(
      base, with(base, "up", [](json& strategy) { strategy["timing"]["uniform_samples_ms"].erase(0); }), {});
  CHECK(metric_of(odd, "up", "layer_ms").change == Change::kAmbiguous);
}

TEST_CASE("what NEW lacks is missing, which only --strict refuses") {
  const Results base = base_run();
  Results shorter = base;
  json& strategies = shorter[0].experiment["strategies"];
  strategies.erase(strategies.end() - 1);
  const Comparison comparison = compare_results(base, shorter, {});
  CHECK(metric_of(comparison, "half", "all metrics").change == Change::kMissing);
  CHECK_FALSE(regressed(comparison, false));
  CHECK(regressed(comparison, true));
  const Comparison untimed =
      compare_results(base, with(base, "half", [](json& strategy) { strategy["timing"] = nullptr; }), {});
  CHECK(metric_of(untimed, "half", "layer_ms").change == Change::kMissing);

  Results two = base;
  two.push_back(base[0]);
  two[1].experiment["name"] = "other";
  CHECK(compare_results(two, base, {}).experiments.at(1).metrics.at(0).change == Change::kMissing);
  CHECK(compare_results(base, two, {}).notes.at(0).find("only in NEW: other") == 0);
}

TEST_CASE("an experiment that fails in NEW is a change, one that failed in BASE has nothing to compare with") {
  const Results base = base_run();
  Results failed = base;
  failed[0].experiment["error"] = "out of memory";
  CHECK(compare_results(base, failed, {}).experiments[0].metrics.at(0).change == Change::kChanged);
  CHECK(compare_results(failed, base, {}).experiments[0].metrics.at(0).change == Change::kMissing);
  CHECK(compare_results(failed, failed, {}).experiments[0].metrics.at(0).change == Change::kMissing);
}

TEST_CASE("another device is refused; another driver is a note") {
  const Results base = base_run();
  Results cpu = base;
  cpu[0].environment["device"] = "cpu";
  CHECK(message_of<EnvironmentError>([&] { compare_results(cpu, base, {}); }) ==
        "experiment \"sample\": another device: device is \"cpu\" in BASE and \"NVIDIA H100 80GB HBM3\" in NEW");
  Results threads = cpu;
  threads[0].environment["threads"] = 64;
  CHECK(message_of<EnvironmentError>([&] { compare_results(cpu, threads, {}); }).find("threads is 2") !=
        std::string::npos);
  Results newer = base;
  newer[0].environment["threads"] = 64;  // of the host, which is not the device
  newer[0].environment["driver"] = "600";
  CHECK(compare_results(base, newer, {}).experiments[0].notes.at(0) == "driver: null → \"600\"");
}

TEST_CASE("on a CPU only the layer and its GEMMs are judged; on a GPU stages too, more leniently") {
  Results base = base_run();
  const auto route_twice = [](json& strategy) { scale_series(strategy, "route_us", 2); };
  CHECK(metric_of(compare_results(base, with(base, "up", route_twice), {}), "up", "route_us").change ==
        Change::kSlower);
  base[0].environment["device"] = "cpu";
  const Comparison comparison = compare_results(base, with(base, "up", route_twice), {});
  CHECK_FALSE(metric_of(comparison, "up", "route_us").change);
  CHECK(metric_of(comparison, "up", "layer_ms").change == Change::kSame);
}

TEST_CASE("the more times are judged, the surer a verdict must be") {
  // Ten samples each, noisy: 95 % sure of a slow-down beyond 2 %, but not 99.9 %.
  const Results base = base_run();
  const auto noisy = [](double least) {
    return [least](json& strategy) {
      json &times = strategy["timing"]["layer_ms"]["samples"], &yardstick = strategy["timing"]["uniform_samples_ms"];
      times = yardstick = json::array();
      for (int i = 0; i < 10; ++i) {
        times.push_back(least + 0.02 * i);
        yardstick.push_back(1.0);
      }
    };
  };
  const Results quiet = with(base, "up", noisy(1.0)), slower = with(base, "up", noisy(1.1));
  CompareThresholds lenient;
  lenient.false_alarm = 2;
  const auto change = [&](const CompareThresholds& thresholds) {
    return metric_of(compare_results(quiet, slower, thresholds), "up", "layer_ms");
  };
  CHECK(change({}).change == Change::kAmbiguous);
  CHECK(change({}).reason.find("not surely") != std::string::npos);
  CHECK(change(lenient).change == Change::kSlower);
}

TEST_CASE("results without a common experiment, or with one twice, are refused") {
  const Results base = base_run();
  Results other = base;
  other[0].experiment["name"] = "other";
  CHECK(message_of<InputError>([&] { compare_results(base, other, {}); }).find("nothing to compare") !=
        std::string::npos);
  Results twice = base;
  twice.push_back(base[0]);
  CHECK(message_of<InputError>([&] { compare_results(base, twice, {}); }) ==
        "NEW: experiment \"sample\" with config 0123456789abcdef is there twice; allowed: once");
}

TEST_CASE("text and Markdown name the outcome, the layer times and every regression") {
  const Results base = base_run();
  const auto label = [](json& strategy) { strategy["label"] = "a|b <i>"; };
  const Results odd = with(base, "up", label);
  const Results slower = with(odd, "a|b <i>", [](json& strategy) {
    scale_series(strategy, "layer_ms", 1.05);
    scale_series(strategy, "up_ms", 1.03);
    strategy["tiles"] = 3;
  });
  const Comparison comparison = compare_results(odd, slower, {});
  const std::string text = comparison_text(comparison, {});
  CHECK(text.find("regression: ") != std::string::npos);
  CHECK(text.find("- changed: tiles of a|b <i>, tile 8, layer 0: 2 → 3\n") != std::string::npos);
  CHECK(text.find("- slower: layer_ms of a|b <i>, tile 8, layer 0: 1.0") != std::string::npos);
  CHECK(text.find("ambiguous: 1 time;") != std::string::npos);
  CHECK(text.find("- ambiguous: up_ms") == std::string::npos);
  CHECK(comparison_text(comparison, {true, false}).find("- ambiguous: up_ms") != std::string::npos);
  CHECK(comparison_text(comparison, {false, true}).find("- same: rows of half, tile 8, layer 0: equal\n") !=
        std::string::npos);
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    CHECK(text.find('\n', begin) - begin <= 100);  // code points, not bytes, fit 80
  }
  const std::string markdown = comparison_markdown(comparison, {});
  CHECK(markdown.find("### tatr-sim: regression: ") == 0);
  CHECK(markdown.find("| a\\|b \\<i\\> | 8 | 0 | ") != std::string::npos);
  CHECK(markdown.find("- **changed**: `tiles` of a\\|b \\<i\\>, tile 8, layer 0: 2 → 3\n") != std::string::npos);
}

TEST_CASE("the outcome says no more than was judged") {
  const Results base = base_run();
  const auto shorten = [](json& samples) {
    while (samples.size() > 5) samples.erase(samples.size() - 1);
  };
  Results none = base;
  for (json& strategy : none[0].experiment["strategies"]) {
    shorten(strategy["timing"]["uniform_samples_ms"]);
    for (const char* metric : {"route_us", "round_us", "layer_ms", "up_ms", "down_ms", "combine_ms"}) {
      shorten(strategy["timing"][metric]["samples"]);
    }
  }
  const Comparison undecided = compare_results(base, none, {});
  CHECK_FALSE(regressed(undecided, false));
  CHECK(regressed(undecided, true));
  for (const std::string& words : {comparison_text(undecided, {}), comparison_markdown(undecided, {})}) {
    CHECK(words.find("no regression") == std::string::npos);
    CHECK(words.find("not enough samples to tell: ") != std::string::npos);
    CHECK(words.find(" times are ambiguous; about 10 samples would tell ") != std::string::npos);
  }
  CHECK(outcome_line(undecided, true).find("(refused: strict)") != std::string::npos);

  const Results some = with(base, "up", [&](json& strategy) { shorten(strategy["timing"]["layer_ms"]["samples"]); });
  CHECK(outcome_line(compare_results(base, some, {}), false).find("no regression found, but 1 of ") == 0);

  Results counted = base;
  for (json& strategy : counted[0].experiment["strategies"]) strategy["timing"] = nullptr;
  CHECK(outcome_line(compare_results(counted, counted, {}), false)
            .find("integers and means are equal, no time was judged: ") == 0);
  const Comparison lost = compare_results(base, counted, {});
  CHECK(outcome_line(lost, false).find("integers and means are equal, no time was judged: ") == 0);
  CHECK(outcome_line(lost, false).find(" missing") != std::string::npos);

  Results failed = base;
  failed[0].experiment["error"] = "out of memory";
  CHECK(outcome_line(compare_results(failed, failed, {}), false) == "nothing could be compared: 1 missing");
  Results two = base;
  two.push_back(base[0]);
  two[1].experiment["name"] = "other";
  CHECK(outcome_line(compare_results(two, base, {}), false).find("no regression in what both have: ") == 0);
}

TEST_CASE("where most times are ambiguous, no regression is not said, and how many samples would tell is") {
  SimulatedRun how;
  how.rounds = 10;
  CompareThresholds narrow;
  narrow.layer_margin = narrow.gemm_margin = 0.01;
  narrow.stage_margin = 0.03;
  const Comparison brief = compare_results(simulate(how, 1), simulate(how, 2), narrow);
  REQUIRE(brief.count(Change::kAmbiguous) > brief.count_times(Change::kSame));
  const std::vector<double> needed = brief.samples_needed();
  REQUIRE(needed.size() * 2 > brief.count(Change::kAmbiguous));
  CHECK(needed.front() >= 11);
  CHECK(needed.back() <= 1000);
  const std::string outcome = outcome_line(brief, false);
  CHECK(outcome.find("not enough samples to tell: ") == 0);
  CHECK(outcome.find("samples would tell") != std::string::npos);
  CHECK(outcome.find("no regression") == std::string::npos);
  how.rounds = static_cast<int>(needed[(needed.size() * 9 + 9) / 10 - 1]) + 1;  // as it says
  const Comparison longer = compare_results(simulate(how, 1), simulate(how, 2), narrow);
  CHECK(longer.count(Change::kAmbiguous) * 2 < brief.count(Change::kAmbiguous));
}

TEST_CASE("what is the same may be counted without being listed") {
  const Results base = base_run();
  const Results slower = with(base, "up", [](json& strategy) { scale_series(strategy, "layer_ms", 1.05); });
  const Comparison whole = compare_results(base, slower, {});
  const Comparison brief = compare_results(source_of(base), source_of(slower), {}, /*list_same=*/false);
  CHECK(brief.experiments[0].metrics.size() < 20);
  for (const Change change : {Change::kSame, Change::kSlower, Change::kAmbiguous}) {
    CHECK(brief.count(change) == whole.count(change));
    CHECK(brief.count_times(change) == whole.count_times(change));
  }
  CHECK(comparison_text(brief, {}) == comparison_text(whole, {}));
  CHECK(comparison_markdown(brief, {}) == comparison_markdown(whole, {}));
}

TEST_CASE("a training pass that is slower on its way back is a regression, by its sum and by its GEMM") {
  const auto trained = [](const Results& run) {
    Results changed = run;
    for (json& strategy : changed[0].experiment["strategies"]) {
      json& timing = strategy["timing"];
      timing["pass"] = "training";
      for (const char* metric : {"forward_ms", "backward_ms", "wgrad_up_ms", "combine_dx_ms"}) {
        timing[metric] = timing[std::string(metric) == "combine_dx_ms" ? "combine_ms" : "layer_ms"];
      }
    }
    return changed;
  };
  const Results base = trained(base_run()), slower = with(base, "half", [](json&strategy) {
                                              for (const char* metric : {"backward_ms", "wgrad_up_ms"})
                                                scale_series(strategy, metric, 1.2);
                                            });
  const Comparison comparison = compare_results(base, slower, {});
  CHECK(metric_of(comparison, "half", "backward_ms").change == Change::kSlower);
  CHECK(metric_of(comparison, "half", "wgrad_up_ms").change == Change::kSlower);
  CHECK(metric_of(comparison, "half", "forward_ms").change == Change::kSame);
  CHECK(metric_of(comparison, "half", "combine_dx_ms").change == Change::kSame);
  CHECK(regressed(comparison, false));
}
