// Results one by one, to be resumed and joined. Decides what is the same experiment and whether two results of it
// agree; files are read by report/results.hpp.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/results.hpp"

namespace tatr {

/// One experiment with the tool and the environment that it was run with.
struct StoredResult {
  nlohmann::json document;  // a JSON result, as the schema of results has it, of exactly one experiment
  std::string place;        // for errors

  const nlohmann::json& experiment() const { return document["experiments"][0]; }
  const std::string& config_hash() const { return experiment()["config_hash"].get_ref<const std::string&>(); }
  const std::string& device() const { return document["environment"]["device"].get_ref<const std::string&>(); }
  std::string line() const;  // as text on one line
};

/// The experiments of documents, in order. Throws ConfigError at what the schema of results does not allow: joining and
/// resuming need what a page can do without.
std::vector<StoredResult> split_results(std::vector<ResultDocument> documents);

/// Joins files, one result of each in turn, as shards have dealt them out. Of results with the same config hash and
/// device the first is kept; `dropped` counts the others. Throws InputError that names both places if two of them
/// differ in anything but what is measured (times, clocks, memory) and where it was run.
std::vector<StoredResult> merge_results(std::vector<std::vector<StoredResult>> files, std::size_t& dropped);

}  // namespace tatr
