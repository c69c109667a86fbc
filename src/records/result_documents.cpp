#include "records/result_documents.hpp"

#include <array>
#include <sstream>
#include <utility>

#include "core/error.hpp"
#include "json/json_text.hpp"
#include "json/validate.hpp"
#include "records/result_schema.hpp"
#include "records/result_upgrade.hpp"

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
  json schema = result_schema();
  allow_missing_and_unknown(schema);
  schema["required"] = {"schema_version", "experiments"};
  json& parts = schema["definitions"];
  parts["experiment"]["required"] = {"name", "strategies"};
  parts["strategy"]["required"] = parts["network"]["required"] = {"name", "label"};
  return schema;
}

bool is_blank(const std::string& line) { return line.find_first_not_of(" \t\r\n") == std::string::npos; }

/// Takes a file line by line and knows where it is.
class LineReader {
 public:
  LineReader(std::istream& stream, const std::string& file) : stream_(stream), file_(file) {}

  /// The next line with its newline, if it has one; false at the end.
  bool next() {
    offset_ += line_.size();
    line_.clear();
    ++number_;
    std::array<char, 1 << 16> block;
    for (bool more = true; more;) {
      stream_.getline(block.data(), block.size());
      const auto count = static_cast<std::size_t>(stream_.gcount());
      const bool full = stream_.fail() && !stream_.eof() && count + 1 == block.size();  // no newline yet
      const bool ended = !stream_.fail() && !stream_.eof();                             // the newline is counted
      line_.append(block.data(), ended ? count - 1 : count);
      if (ended) line_ += '\n';
      if (line_.size() > kMaxResultBytes) refuse_size();
      more = full;
      if (full) stream_.clear();
    }
    if (stream_.bad()) throw ConfigError(file_, "cannot be read");
    return !line_.empty();
  }

  std::string text() const { return line_.ends_with('\n') ? line_.substr(0, line_.size() - 1) : line_; }
  const std::string& raw() const { return line_; }
  std::size_t offset() const { return offset_; }
  std::size_t number() const { return number_; }

  [[noreturn]] void refuse_size() const {
    throw ConfigError(file_, "a result in it is larger than " + std::to_string(kMaxResultBytes >> 20) + " MB");
  }

 private:
  std::istream& stream_;
  const std::string& file_;
  std::string line_;
  std::size_t offset_ = 0;
  std::size_t number_ = 0;
};

}  // namespace

void for_each_document(std::istream& stream, const std::string& file,
                       const std::function<void(const DocumentText&)>& visit) {
  LineReader lines(stream, file);
  std::string head;  // all up to the second line that holds anything
  const auto next_filled = [&] {
    while (lines.next()) {
      head += lines.raw();
      if (!is_blank(lines.raw())) return true;
    }
    return false;
  };
  next_filled();
  const std::string first = lines.text();
  const std::size_t number = lines.number();
  const std::size_t offset = lines.offset();
  if (!next_filled()) return visit({file, head, 0});
  const auto named = [&](std::size_t line) { return file + " (line " + std::to_string(line) + ")"; };
  if (json::accept(first)) {
    head = {};
    visit({named(number), first, offset});
    do {
      if (!is_blank(lines.raw())) visit({named(lines.number()), lines.text(), lines.offset()});
    } while (lines.next());
    return;
  }
  while (lines.next()) {
    head += lines.raw();
    if (head.size() > kMaxResultBytes) lines.refuse_size();
  }
  visit({file, head, 0});
}

ResultDocument parse_document(const DocumentText& text) {
  ResultDocument result{text.source, parse_json_text(text.text, text.source, kMaxResultBytes)};
  upgrade_result(result.document);
  return result;
}

std::vector<ResultDocument> parse_documents(const std::string& text, const std::string& file) {
  std::istringstream stream(text);
  std::vector<ResultDocument> results;
  for_each_document(stream, file, [&](const DocumentText& document) { results.push_back(parse_document(document)); });
  return results;
}

void check_strictly(const ResultDocument& result) {
  static const SchemaValidator schema(result_schema());
  schema.check(result.document, result.source);
}

std::vector<ResultDocument> read_documents(const std::string& path) {
  std::vector<ResultDocument> results;
  std::ifstream stream = open_results(path);
  for_each_document(stream, results_name(path),
                    [&](const DocumentText& document) { results.push_back(parse_document(document)); });
  return results;
}

std::ifstream open_results(const std::string& path) { return open_text_file(path == "-" ? "/dev/stdin" : path); }

std::string results_name(const std::string& path) { return path == "-" ? "standard input" : path; }

void check_tolerantly(const ResultDocument& result) {
  static const SchemaValidator schema(tolerant_schema());
  schema.check(result.document, result.source);
}

std::vector<ResultDocument> parse_result_documents(const std::string& text, const std::string& file) {
  std::vector<ResultDocument> results = parse_documents(text, file);
  for (const ResultDocument& result : results) check_tolerantly(result);
  return results;
}

}  // namespace tatr
