#include "report/result_file.hpp"

#include <fmt/format.h>

#include <istream>
#include <utility>

#include "config/json_text.hpp"
#include "config/schema.hpp"
#include "config/validate.hpp"
#include "core/error.hpp"
#include "report/json.hpp"

namespace tatr {
namespace {

using nlohmann::json;

/// The next line, cut one byte beyond what is allowed; false at the end.
bool next_line(std::istream& input, std::string& line) {
  line.clear();
  for (char c = 0; line.size() <= kMaxJsonBytes && input.get(c);) {
    if (c == '\n') return true;
    line += c;
  }
  return !line.empty();
}

char last_visible(const std::string& line) {
  const std::size_t last = line.find_last_not_of(" \t\r");
  return last == std::string::npos ? '\0' : line[last];
}

void add_result(json document, const std::string& place, std::vector<ResultExperiment>& results) {
  static const json schema = json::parse(kResultSchema);
  if (document.is_object() && document.contains("schema_version")) {
    const json& version = document["schema_version"];
    if (version.is_string() && version != kResultSchemaVersion) {
      throw EnvironmentError(fmt::format("{}:/schema_version: {} is of another program; allowed: \"{}\"", place,
                                         brief_json(version), kResultSchemaVersion));
    }
  }
  validate_document(schema, document, place);
  for (json& experiment : document["experiments"]) {
    results.push_back({document["environment"], std::move(experiment)});
  }
}

}  // namespace

std::vector<ResultExperiment> read_results(const std::string& path) {
  std::ifstream input = open_json_file(path);
  std::vector<ResultExperiment> results;
  std::string line;
  bool some = next_line(input, line);
  if (last_visible(line) != '}') {
    if (input) line += '\n';
    add_result(parse_json_stream(input, std::move(line), path), path, results);
    return results;
  }
  for (int number = 1; some; some = next_line(input, line), ++number) {
    if (last_visible(line) == '\0') continue;
    const std::string place = fmt::format("{}, line {}", path, number);
    add_result(parse_json_text(line, place), place, results);
  }
  return results;
}

}  // namespace tatr
