#include "records/result_file.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "core/error.hpp"
#include "records/result_writer.hpp"
#include "sample_run.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

/// A file that goes with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content)
      : path_(std::filesystem::temp_directory_path() / ("tatr-result-" + std::to_string(getpid()) + ".json")) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::string result(const std::string& name, int indent = -1) {
  ExperimentRecord record = timed_experiment();
  record.config.name = name;
  return to_json(run_of(record)).dump(indent);
}

struct Refusal {
  ExitCode code = ExitCode::kDone;
  std::string message;
};

Refusal refusal(const std::string& content) {
  try {
    read_results(TemporaryFile(content).path());
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

}  // namespace

TEST_CASE("a result reads as JSON, indented or on one line, and as JSON Lines") {
  CHECK(read_results(TemporaryFile(result("a", 1) + "\n").path()).at(0).experiment["name"] == "a");
  CHECK(read_results(TemporaryFile(result("a")).path()).at(0).experiment["name"] == "a");
  const auto lines =
      read_results(TemporaryFile(result("a") + "\n\n" + result("b") + "\r\n" + result("c") + "\n").path());
  REQUIRE(lines.size() == 3);
  CHECK(lines[2].experiment["name"] == "c");
  CHECK(lines[1].environment["device"] == "cpu");
}

TEST_CASE("what is no result is refused, with its place") {
  CHECK(refusal("").message.find("is empty") != std::string::npos);
  CHECK(refusal("[1, 2").message.find("not valid JSON") != std::string::npos);
  CHECK(refusal("[1]\n").message.find("[1]") != std::string::npos);
  const Refusal cut = refusal(result("a") + "\n" + result("b").substr(0, 100) + "\n");
  CHECK(cut.code == ExitCode::kUsage);
  CHECK(cut.message.find(".json (line 2):1:10") != std::string::npos);
  auto wrong = nlohmann::json::parse(result("a"));
  wrong["experiments"][0]["strategies"][1]["rows"] = "many";
  CHECK(refusal(wrong.dump(1)).message.find(":/experiments/0/strategies/1/rows: ") != std::string::npos);
  CHECK_THROWS_AS(read_results("/nonexistent/result.json"), ConfigError);
  CHECK_THROWS_AS(read_results("/"), ConfigError);
}

TEST_CASE("another schema version is another matter than a broken file") {
  auto newer = nlohmann::json::parse(result("a"));
  newer["schema_version"] = "3.0";
  newer["more"] = 1;
  CHECK(refusal(newer.dump()).code == ExitCode::kEnvironment);
  CHECK(refusal(newer.dump()).message.find("\"3.0\"") != std::string::npos);
  newer["schema_version"] = 2;
  CHECK(refusal(newer.dump()).code == ExitCode::kUsage);
}
