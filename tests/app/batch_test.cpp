// Several devices at one batch: each experiment once, whoever takes it, and one failure ends the right things. CPUs
// stand in for GPUs.
#include "batch.hpp"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "catch.hpp"
#include "config/read.hpp"
#include "config/sweep.hpp"
#include "progress.hpp"
#include "report/stored_results.hpp"

using namespace tatr;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("tatr-batch-" + std::to_string(getpid()));
  Folder() { fs::create_directory(path); }
  ~Folder() { fs::remove_all(path); }
};

Batch batch_of(std::size_t experiments, std::size_t devices, const std::string& jsonl) {
  nlohmann::json document = {{"name", "many"},
                             {"router", {{"tokens", 512}, {"experts", 16}, {"top_k", 2}}},
                             {"tile", 16},
                             {"strategies", {"none", "nearest", "stochastic"}}};
  for (std::size_t seed = 0; seed < experiments; ++seed) document["sweep"]["/seed"].push_back(seed);
  Batch batch;
  for (const SweepItem& item : expand_sweep(document, "x.json")) {
    batch.configs.push_back(parse_experiment(item.document, "x.json"));
  }
  batch.jsonl = jsonl;
  batch.quiet = true;
  for (std::size_t i = 0; i < devices; ++i) batch.devices.push_back([] { return make_cpu_system(1); });
  return batch;
}

std::vector<StoredResult> read(const std::string& path) { return split_results(read_documents(path)); }

std::set<std::string> hashes(const std::vector<StoredResult>& results) {
  std::set<std::string> found;
  for (const StoredResult& result : results) found.insert(result.config_hash());
  return found;
}

}  // namespace

TEST_CASE("devices share a batch, each experiment is run once", "[batch]") {
  const Folder folder;
  const std::string alone = folder.path / "alone", shared = folder.path / "shared";
  REQUIRE(run_batch(batch_of(60, 1, alone)) == ExitCode::kDone);
  REQUIRE(run_batch(batch_of(60, 4, shared)) == ExitCode::kDone);
  CHECK(read(shared).size() == 60);
  CHECK(hashes(read(shared)).size() == 60);
  MergedResults merged;
  for (const StoredResult& result : read(alone)) CHECK(merged.add(result));
  for (const StoredResult& result : read(shared)) CHECK_FALSE(merged.add(result));  // they agree
}

TEST_CASE("a device that fails stops all of them and costs no result", "[batch]") {
  const Folder folder;
  const std::string path = folder.path / "lines";
  Batch batch = batch_of(60, 3, path);
  auto made = std::make_shared<std::atomic<int>>(0);
  batch.devices[1] = [made] {  // described once, then lost
    if ((*made)++ > 0) throw CudaError("cuda:1: lost");
    return make_cpu_system(1);
  };
  CHECK_THROWS_AS(run_batch(batch), CudaError);
  const std::size_t finished = fs::exists(path) ? read(path).size() : 0;
  CHECK(finished < 60);
  batch = batch_of(60, 2, path);
  batch.resume = true;
  CHECK(run_batch(batch) == ExitCode::kDone);
  CHECK(hashes(read(path)).size() == 60);
  CHECK(read(path).size() == 60);
}

TEST_CASE("an experiment given twice is run once", "[batch]") {
  const Folder folder;
  Batch batch = batch_of(2, 1, folder.path / "lines");
  batch.configs.push_back(batch.configs[0]);
  CHECK(run_batch(batch) == ExitCode::kDone);
  CHECK(read(batch.jsonl).size() == 2);
}

TEST_CASE("the bar tells what is done and the time left", "[progress]") {
  CHECK(progress_bar(0, 200, 5.0) == "[>         ] 0 of 200");
  CHECK(progress_bar(100, 200, 30.0) == "[=====>    ] 100 of 200, about 30 s left");
  CHECK(progress_bar(1, 200, 30.0) == "[>         ] 1 of 200, about 100 min left");
  CHECK(progress_bar(50, 200, 36000.0) == "[==>       ] 50 of 200, about 30.0 h left");
  CHECK(progress_bar(200, 200, 60.0) == "[==========] 200 of 200, about 0 s left");
}
