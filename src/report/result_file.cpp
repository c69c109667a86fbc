#include "report/result_file.hpp"

#include <fmt/format.h>

#include <utility>

#include "config/json_text.hpp"
#include "core/error.hpp"
#include "report/json.hpp"
#include "report/results.hpp"

namespace tatr {
namespace {

using nlohmann::json;

void add_result(ResultDocument result, std::vector<ResultExperiment>& results) {
  auto& [place, document] = result;
  if (document.is_object() && document.contains("schema_version")) {
    const json& version = document["schema_version"];
    if (version.is_string() && version != kResultSchemaVersion) {
      throw EnvironmentError(fmt::format("{}:/schema_version: {} is of another program; allowed: \"{}\"", place,
                                         brief_json(version), kResultSchemaVersion));
    }
  }
  check_strictly(result);
  for (json& experiment : document["experiments"]) {
    results.push_back({document["environment"], std::move(experiment)});
  }
}

}  // namespace

std::vector<ResultExperiment> read_results(const std::string& path) {
  std::vector<ResultExperiment> results;
  for (ResultDocument& read : read_documents(path)) add_result(std::move(read), results);
  return results;
}

}  // namespace tatr
