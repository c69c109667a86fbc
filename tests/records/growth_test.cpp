// Reports of networks with thousands of layers, files of thousands of experiments: nothing may grow as their square.
#include "growth.hpp"

#include <map>
#include <utility>

#include "analysis/compare.hpp"
#include "analysis/documented.hpp"
#include "analysis/network.hpp"
#include "analysis/ranking.hpp"
#include "catch.hpp"
#include "records/result_writer.hpp"
#include "report/compare_text.hpp"
#include "report/result_tables.hpp"
#include "report/text.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

/// Layers of two strategies with times, a documented figure, and warnings of which no two are alike.
ExperimentRecord network_of(std::size_t layers) {
  ExperimentRecord record = timed_experiment();
  record.routing.clear();
  record.strategies.clear();
  for (std::size_t i = 0; i < layers; ++i) {
    const auto layer = static_cast<std::int64_t>(i);
    record.routing.push_back(routing(layer));
    for (StrategyRecord strategy : {plain_record(layer), down_record(layer)}) {
      strategy.timing = timing(4.0);
      strategy.warnings = {"of layer " + std::to_string(i)};
      record.strategies.push_back(strategy);
    }
  }
  record.config.documented = {{"speedup", "down", 8, 1.16, "a document"}};
  return record;
}

/// Settings that no two are alike, of one layer.
ExperimentRecord settings_of(std::size_t count) {
  ExperimentRecord record = timed_experiment();
  record.strategies.clear();
  for (std::size_t i = 0; i < count; ++i) {
    for (StrategyRecord strategy : {plain_record(), down_record()}) {
      strategy.strategy.label += std::to_string(i);
      strategy.metrics.tile = static_cast<std::int64_t>(8 * (i + 1));
      strategy.timing = timing(4.0);
      record.strategies.push_back(strategy);
    }
  }
  return record;
}

using Make = ExperimentRecord (*)(std::size_t);

nlohmann::json document_of(const ExperimentRecord& record) {
  return nlohmann::json::parse(json_text(run_of(record), -1));
}

/// What is made of each size, once: to make it takes longer than most of what is looked at.
template <class Made>
class Prepared {
 public:
  explicit Prepared(std::function<Made(std::size_t)> make) : make_(std::move(make)) {}

  void check(const char* what, std::size_t size, const std::function<void(const Made&)>& work) {
    INFO(what);
    CHECK(more_than_linear(size, [&](std::size_t count) -> std::function<void()> {
            const auto [at, is_new] = made_.try_emplace(count);
            if (is_new) at->second = make_(count);
            return [&made = at->second, &work] { work(made); };
          }) == "");
  }

 private:
  std::function<Made(std::size_t)> make_;
  std::map<std::size_t, Made> made_;
};

void check_report(Make make, std::size_t size) {
  Prepared<ExperimentRecord> prepared([&](std::size_t count) {
    ExperimentRecord record = make(count);
    record.network = summarise_network(record);
    return record;
  });
  const auto check = [&](const char* what, const std::function<void(const ExperimentRecord&)>& work) {
    prepared.check(what, size, work);
  };
  check("network", [](const ExperimentRecord& record) { summarise_network(record); });
  check("ranking", [](const ExperimentRecord& record) { ranking_warnings(record); });
  check("documented", [](const ExperimentRecord& record) { compare_documented(record); });
  check("json", [](const ExperimentRecord& record) { json_text(run_of(record), -1); });
}

void check_tables(Make make, std::size_t size) {
  Prepared<nlohmann::json> prepared([&](std::size_t count) { return document_of(make(count)); });
  prepared.check("csv", size, [](const nlohmann::json& document) { csv_rows(document); });
  prepared.check("markdown", size, [](const nlohmann::json& document) { markdown_rows(document); });
  prepared.check("compare", size, [](const nlohmann::json& document) {
    const std::vector<ResultExperiment> result = {{document["environment"], document["experiments"][0]}};
    comparison_text(compare_results(result, result, {}), {});
  });
}

/// As many experiments, of which NEW has every other one with another config.
std::pair<std::vector<ResultExperiment>, std::vector<ResultExperiment>> sweeps_of(std::size_t count) {
  const nlohmann::json document = document_of(experiment());
  std::vector<ResultExperiment> base, next;
  for (std::size_t i = 0; i < count; ++i) {
    base.push_back({document["environment"], document["experiments"][0]});
    base.back().experiment["name"] = "sample " + std::to_string(i);
    next.push_back(base.back());
    if (i % 2 == 1) next.back().experiment["config_hash"] = "fedcba9876543210";
  }
  return {base, next};
}

}  // namespace

TEST_CASE("a report grows as its layers do", "[report][growth]") {
  check_report(network_of, 400);
  INFO("text");
  CHECK(more_than_linear(600, [](std::size_t count) -> std::function<void()> {
          return [run = run_of(network_of(count))] { text_report(run, {}); };
        }) == "");
}

TEST_CASE("a report grows as its settings do", "[report][growth]") { check_report(settings_of, 500); }

TEST_CASE("tables and comparisons grow as layers and settings do", "[report][growth]") {
  check_tables(network_of, 200);
  check_tables(settings_of, 100);
}

TEST_CASE("a comparison grows as its experiments do", "[report][growth]") {
  CHECK(more_than_linear(200, [](std::size_t count) -> std::function<void()> {
          return [sweeps = sweeps_of(count)] {
            const Comparison comparison = compare_results(sweeps.first, sweeps.second, {});
            comparison_text(comparison, {});
            comparison_markdown(comparison, {});
          };
        }) == "");
}
