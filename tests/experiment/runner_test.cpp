// Several devices at one run: each experiment once, whoever takes it, and one failure ends the right things. CPUs
// stand in for GPUs.
#include "experiment/runner.hpp"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "catch.hpp"
#include "config/read.hpp"
#include "config/sweep.hpp"
#include "experiment/resume.hpp"
#include "progress.hpp"
#include "records/stored_results.hpp"

using namespace tatr;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("tatr-batch-" + std::to_string(getpid()));
  Folder() { fs::create_directory(path); }
  ~Folder() { fs::remove_all(path); }
};

/// A run whose results go to a file of lines, with what it needs to stay alive.
struct Lines {
  Lines(std::size_t experiments, std::size_t devices, const std::string& path) : file(path), sink(file) {
    nlohmann::json document = {{"name", "many"},
                               {"router", {{"tokens", 512}, {"experts", 16}, {"top_k", 2}}},
                               {"tile", 16},
                               {"strategies", {"none", "nearest", "stochastic"}}};
    for (std::size_t seed = 0; seed < experiments; ++seed) document["sweep"]["/seed"].push_back(seed);
    for (const SweepItem& item : expand_sweep(document, "x.json")) {
      plan.configs.push_back(parse_experiment(item.document, "x.json"));
    }
    for (std::size_t i = 0; i < devices; ++i) plan.devices.push_back([] { return make_cpu_system(1); });
    plan.sinks = {&sink};
  }

  LineFile file;
  LinesSink sink;
  RunPlan plan;
};

std::vector<StoredResult> read(const std::string& path) { return split_results(read_documents(path)); }

std::set<std::string> hashes(const std::vector<StoredResult>& results) {
  std::set<std::string> found;
  for (const StoredResult& result : results) found.insert(result.config_hash());
  return found;
}

}  // namespace

TEST_CASE("devices share a batch, each experiment is run once", "[runner]") {
  const Folder folder;
  const std::string alone = folder.path / "alone", shared = folder.path / "shared";
  REQUIRE(run_all(Lines(60, 1, alone).plan).code == ExitCode::kDone);
  REQUIRE(run_all(Lines(60, 4, shared).plan).code == ExitCode::kDone);
  CHECK(read(shared).size() == 60);
  CHECK(hashes(read(shared)).size() == 60);
  MergedResults merged;
  for (const StoredResult& result : read(alone)) CHECK(merged.add(result));
  for (const StoredResult& result : read(shared)) CHECK_FALSE(merged.add(result));  // they agree
}

TEST_CASE("a device that fails stops all of them and costs no result", "[runner]") {
  const Folder folder;
  const std::string path = folder.path / "lines";
  {
    Lines lines(60, 3, path);
    auto made = std::make_shared<std::atomic<int>>(0);
    lines.plan.devices[1] = [made] {  // described once, then lost
      if ((*made)++ > 0) throw CudaError("cuda:1: lost");
      return make_cpu_system(1);
    };
    CHECK_THROWS_AS(run_all(lines.plan), CudaError);
  }
  const std::size_t finished = fs::exists(path) ? read(path).size() : 0;
  CHECK(finished < 60);
  Lines lines(60, 2, path);
  const std::vector<std::string> devices = {"cpu"}, models(lines.plan.configs.size());
  lines.plan.done =
      read_done(lines.file, path, {lines.plan.configs, devices, models, default_calibration()}, Stale::kRefuse, {})
          .configs;
  CHECK(lines.plan.done.size() == finished);
  CHECK(run_all(lines.plan).code == ExitCode::kDone);
  CHECK(hashes(read(path)).size() == 60);
  CHECK(read(path).size() == 60);
}

TEST_CASE("an experiment given twice is run once", "[runner]") {
  const Folder folder;
  Lines lines(2, 1, folder.path / "lines");
  lines.plan.configs.push_back(lines.plan.configs[0]);
  CHECK(without_repeats(lines.plan.configs).size() == 2);
}

namespace {

/// Counts what it is given, and fails where it is told to.
class CountingSink final : public ResultSink {
 public:
  bool wants_all() const override { return true; }
  void add(std::size_t, const RunRecord&) override { ++added; }
  void end(const RunRecord& run) override { ended = run; }
  std::size_t added = 0;
  std::optional<RunRecord> ended;
};

}  // namespace

TEST_CASE("an experiment that fails takes no finished one with it, and its record says why", "[runner]") {
  const Folder folder;
  Lines lines(3, 1, folder.path / "lines");
  lines.plan.configs[1].strategies[1].kind = StrategyKind::kBudget;
  lines.plan.configs[1].strategies[1].options = BudgetOptions{.tiles = BudgetTotalTiles{1}};
  CountingSink sink;
  lines.plan.sinks.push_back(&sink);
  const RunResult result = run_all(lines.plan);
  CHECK(result.code == ExitCode::kUsage);
  CHECK(result.state.finished == 2);
  CHECK(result.state.failed == 1);
  CHECK(sink.added == 2);
  REQUIRE(sink.ended.has_value());
  REQUIRE(sink.ended->experiments.size() == 3);
  CHECK_FALSE(sink.ended->experiments[0].error.has_value());
  CHECK(sink.ended->experiments[1].error->find("fewer tiles") != std::string::npos);
  CHECK(read(folder.path / "lines").size() == 2);
}

TEST_CASE("the bar tells what is done and the time left", "[progress]") {
  CHECK(progress_bar(0, 200, 5.0) == "[>         ] 0 of 200");
  CHECK(progress_bar(100, 200, 30.0) == "[=====>    ] 100 of 200, about 30 s left");
  CHECK(progress_bar(1, 200, 30.0) == "[>         ] 1 of 200, about 100 min left");
  CHECK(progress_bar(50, 200, 36000.0) == "[==>       ] 50 of 200, about 30.0 h left");
  CHECK(progress_bar(200, 200, 60.0) == "[==========] 200 of 200, about 0 s left");
}

TEST_CASE("a log gets a line at 20 s, each minute, and after an hour each ten", "[progress]") {
  CHECK(next_log_line(0.0) == 20.0);
  CHECK(next_log_line(20.001) == 60.0);
  CHECK(next_log_line(60.001) == 120.0);
  CHECK(next_log_line(3600.001) == 4200.0);
}
