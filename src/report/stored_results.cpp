#include "report/stored_results.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "config/json_text.hpp"
#include "core/error.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// What must be equal in two results of one config on one device: all but what is measured or follows from it.
json comparable(const StoredResult& result) {
  json experiment = result.experiment();
  for (const char* key : {"documented", "memory", "warnings"}) experiment.erase(key);
  for (json& strategy : experiment["strategies"]) strategy.erase("timing");
  for (json& network : experiment["network"]) {
    for (const char* key : {"cpu_reduced", "layer_ms", "gemm_ms", "speedup_of_sums"}) network.erase(key);
  }
  return experiment;
}

}  // namespace

std::string StoredResult::line() const { return document.dump(-1, ' ', false, json::error_handler_t::replace); }

std::vector<StoredResult> split_results(std::vector<ResultDocument> documents) {
  std::vector<StoredResult> results;
  for (ResultDocument& result : documents) {
    check_strictly(result);
    auto& [source, document] = result;
    json experiments = std::move(document["experiments"]);
    for (json& experiment : experiments) {
      document["experiments"] = json::array({std::move(experiment)});
      results.push_back({document, source});
    }
  }
  return results;
}

std::vector<StoredResult> merge_results(std::vector<std::vector<StoredResult>> files, std::size_t& dropped) {
  std::size_t longest = 0;
  for (const auto& file : files) longest = std::max(longest, file.size());
  std::vector<StoredResult> merged;
  std::map<std::pair<std::string, std::string>, std::size_t> seen;
  for (std::size_t turn = 0; turn < longest; ++turn) {
    for (auto& file : files) {
      if (turn >= file.size()) continue;
      StoredResult& result = file[turn];
      const auto [entry, is_new] = seen.emplace(std::pair(result.config_hash(), result.device()), merged.size());
      if (is_new) {
        merged.push_back(std::move(result));
        continue;
      }
      const StoredResult& first = merged[entry->second];
      if (comparable(first) != comparable(result)) {
        throw InputError(result.place, "differs from " + first.place + ", though both are of config " +
                                           result.config_hash() + " on " + brief_json(result.device()) +
                                           "; only measured times may differ");
      }
      ++dropped;
    }
  }
  return merged;
}

}  // namespace tatr
