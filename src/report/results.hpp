// Results read back from files. Decides what is taken for a result: a document of schema version 1.0, or several, one a
// line (JSONL). Keys that this version does not know are kept, and those that it misses are taken for null, so that a
// result of an earlier or later version of the program can still be shown.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tatr {

inline constexpr std::size_t kMaxResultBytes = std::size_t{256} << 20;  // 60 layers of 512 experts: 1.4 MB a strategy

struct ResultDocument {
  std::string source;  // the file, and the line where it holds several
  nlohmann::json document;
};

/// The JSON documents of a file, in order, at least one; "-" is standard input. Whether they are results is not looked
/// at. Throws ConfigError where it cannot be read or is no JSON.
std::vector<ResultDocument> read_documents(const std::string& path);

/// Throws ConfigError, as at "file:/json/pointer", where a document is not exactly what the schema of results has.
void check_strictly(const ResultDocument& result);

/// All results of a file, in order, at least one; "-" is standard input. Throws ConfigError at "file:/json/pointer".
std::vector<ResultDocument> read_result_documents(const std::string& path);

/// The same two from text; `file` names it in errors.
std::vector<ResultDocument> parse_documents(const std::string& text, const std::string& file);
std::vector<ResultDocument> parse_result_documents(const std::string& text, const std::string& file);

}  // namespace tatr
