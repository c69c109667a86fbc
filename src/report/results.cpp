#include "report/results.hpp"

#include <sstream>
#include <utility>

#include "config/json_text.hpp"
#include "config/schema.hpp"
#include "config/validate.hpp"
#include "core/error.hpp"

namespace tatr {

namespace {

using nlohmann::json;

void allow_missing_and_unknown(json& schema) {
  if (!schema.is_structured()) return;
  if (schema.is_object()) {
    schema.erase("required");
    schema.erase("additionalProperties");
  }
  for (json& item : schema) allow_missing_and_unknown(item);
}

/// The result's schema, less strict: types are as they were, but only what names things must be there.
json tolerant_schema() {
  json schema = json::parse(kResultSchema);
  allow_missing_and_unknown(schema);
  schema["required"] = {"schema_version", "experiments"};
  json& parts = schema["definitions"];
  parts["experiment"]["required"] = {"name", "strategies"};
  parts["strategy"]["required"] = parts["network"]["required"] = {"name", "label"};
  return schema;
}

/// Non-blank lines with their numbers, from 1.
std::vector<std::pair<int, std::string>> lines_of(const std::string& text) {
  std::vector<std::pair<int, std::string>> lines;
  std::istringstream stream(text);
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) lines.emplace_back(number, line);
  }
  return lines;
}

std::vector<ResultDocument> check_documents(std::vector<ResultDocument> documents) {
  static const json schema = tolerant_schema();
  for (const ResultDocument& result : documents) validate_document(schema, result.document, result.source);
  return documents;
}

}  // namespace

std::vector<ResultDocument> parse_documents(const std::string& text, const std::string& file) {
  const auto lines = lines_of(text);
  std::vector<ResultDocument> results;
  if (lines.size() > 1 && json::accept(lines.front().second)) {
    for (const auto& [number, line] : lines) {
      const std::string source = file + " (line " + std::to_string(number) + ")";
      results.push_back({source, parse_json_text(line, source, kMaxResultBytes)});
    }
  } else {
    results.push_back({file, parse_json_text(text, file, kMaxResultBytes)});
  }
  return results;
}

void check_strictly(const ResultDocument& result) {
  static const json schema = json::parse(kResultSchema);
  validate_document(schema, result.document, result.source);
}

std::vector<ResultDocument> read_documents(const std::string& path) {
  if (path == "-") return parse_documents(read_text_file("/dev/stdin", kMaxResultBytes), "standard input");
  return parse_documents(read_text_file(path, kMaxResultBytes), path);
}

std::vector<ResultDocument> parse_result_documents(const std::string& text, const std::string& file) {
  return check_documents(parse_documents(text, file));
}

std::vector<ResultDocument> read_result_documents(const std::string& path) {
  return check_documents(read_documents(path));
}

}  // namespace tatr
