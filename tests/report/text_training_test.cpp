#include "analysis/training_effect.hpp"
#include "catch.hpp"
#include "report/text.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

ExperimentRecord trained(double weight, std::uint64_t seed, double utilisation, double task_loss) {
  ExperimentRecord record = experiment();
  record.config.seed = seed;
  TrainedSource trained;
  trained.rounding_weight = weight;
  trained.tile = 8;
  record.config.router.source.options = trained;
  record.config.effective_json =
      R"({"name":"n","seed":1,"router":{"source":{"surrogate":"periodic","round_to":8,"rounding_weight":1}}})";
  record.routing.front().task_loss = task_loss;
  record.strategies.front().metrics.tile_utilisation = utilisation;
  return record;
}

RunRecord run_with(const std::vector<ExperimentRecord>& experiments) {
  RunRecord run = tatr::test::run_of(experiments.front());
  run.experiments = experiments;
  for (ExperimentRecord& experiment : run.experiments) experiment.network = summarise_network(experiment);
  run.training = training_effects(run.experiments);
  return run;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a sweep over rounding weights ends in a comparison against the lowest weight, seed by seed") {
  // Utilisation changes by 10 and 12 points: mean 11, Student's t of one degree of freedom 12.706 * 1.0 = 12.7.
  const std::string text = text_report(run_with({trained(0, 1, 0.5, 0.2), trained(0, 2, 0.6, 0.4),
                                                 trained(0.1, 1, 0.6, 0.3), trained(0.1, 2, 0.72, 0.5)}),
                                       {});
  CHECK(contains(text, "Auxiliary Loss\n"));
  CHECK(contains(text, "(periodic, tile 8), 2 seeds:"));
  CHECK(contains(text, "+11% [-1.7, +24]"));
  CHECK(contains(text, "No weight fills tiles better than chance would."));
}

TEST_CASE("a gain beyond its interval is named, with its price") {
  std::vector<ExperimentRecord> experiments;
  for (const std::uint64_t seed : {1, 2, 3}) {
    const double noise = 0.001 * static_cast<double>(seed);
    experiments.push_back(trained(0, seed, 0.5 + noise, 0.2));
    experiments.push_back(trained(0.01, seed, 0.5 - noise, 0.2));
    experiments.push_back(trained(0.1, seed, 0.6 - noise, 0.3));
  }
  const std::string text = text_report(run_with(experiments), {});
  CHECK(contains(text, "Weight 0.1 fills tiles better: +9.6% [+9.1, +10] points, for +50% [+50, +50]"));
  CHECK_FALSE(contains(text, "leaves nearest less"));  // which is not among the strategies
}

TEST_CASE("one seed for each weight proves nothing, and one weight is no comparison") {
  const std::string text = text_report(run_with({trained(0, 1, 0.5, 0.2), trained(1, 1, 0.9, 0.2)}), {});
  CHECK(contains(text, "Give each weight two seeds or more"));
  CHECK_FALSE(
      contains(text_report(run_with({trained(1, 1, 0.5, 0.2), trained(1, 2, 0.9, 0.2)}), {}), "Auxiliary Loss"));
}
