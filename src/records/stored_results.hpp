// Results one by one, to be resumed and joined. Decides what is the same experiment and whether two results of it
// agree; files are read by records/result_file.hpp.
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "records/result_documents.hpp"

namespace tatr {

/// One experiment with the tool and the environment that it was run with.
struct StoredResult {       // NOLINT(bugprone-exception-escape): moving a document throws nothing
  nlohmann::json document;  // a JSON result, as the schema of results has it, of exactly one experiment
  std::string place;        // for errors

  const nlohmann::json& experiment() const { return document["experiments"][0]; }
  const std::string& name() const { return experiment()["name"].get_ref<const std::string&>(); }
  const std::string& config_hash() const { return experiment()["config_hash"].get_ref<const std::string&>(); }
  std::string device() const;  // as ResultKey has it
  std::string line() const;    // as text on one line
};

/// The experiments of documents, in order. Throws ConfigError at what the schema of results does not allow: joining and
/// resuming need what a page can do without.
std::vector<StoredResult> split_results(std::vector<ResultDocument>&& documents);

/// What joined files hold so far: of results with one config hash and device the first is kept, and one name stands for
/// one config.
class MergedResults {
 public:
  /// Whether the result is new. Throws InputError that names both places where one of the same config and device
  /// differs in anything but what is measured (times, clocks, memory) and where it was run, or where one of the same
  /// name is of another config.
  bool add(const StoredResult& result);

 private:
  struct Known {
    std::string place;
    std::string digest;  // of what must be equal
  };
  struct Named {
    std::string config_hash, place;
  };
  std::map<std::pair<std::string, std::string>, Known> known_;  // by config hash and device
  std::map<std::string, Named> names_;
};

/// "/seed: 3 → 4, /tile/0: 8 → 16 and 2 more": how one JSON value becomes another; empty where they are equal.
std::string describe_changes(const nlohmann::json& from, const nlohmann::json& to);

}  // namespace tatr
