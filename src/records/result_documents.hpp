// Results read back from files. Decides what is taken for a result: a document of schema version 2.1, 2.0 or 1.0, or
// several, one a line (JSONL). Keys that this version does not know are kept, and those that it misses are taken for
// null, so that a result of an earlier or later version of the program can still be shown.
#pragma once

#include <cstddef>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tatr {

inline constexpr std::size_t kMaxResultBytes = std::size_t{256}
                                               << 20;  // of one document; 60 layers of 512 experts: 1.4 MB a strategy

struct ResultDocument {
  std::string source;  // the file, and the line where it holds several
  nlohmann::json document;
};

/// One document of a file as text, and where in the file it begins.
struct DocumentText {
  const std::string& source;  // as in ResultDocument
  std::string_view text;
  std::size_t offset_bytes;
};

/// Calls visit for each document of a stream, at least once: one that fills it, or, where the first line that holds
/// anything is a JSON value and not the only one, one a line. Holds no more than one of them. Throws ConfigError where
/// one is larger than kMaxResultBytes.
void for_each_document(std::istream& stream, const std::string& file,
                       const std::function<void(const DocumentText&)>& visit);

/// Opens a file to be read so; "-" is standard input. Throws ConfigError.
std::ifstream open_results(const std::string& path);

/// How errors name it.
std::string results_name(const std::string& path);

/// A result of an earlier schema version is read as one of 2.1. Throws ConfigError, at "source:line:column", where the
/// text is no JSON.
ResultDocument parse_document(const DocumentText& text);

/// All documents of a file, in order, at least one; "-" is standard input. Whether they are results is not looked at.
/// Throws ConfigError where it cannot be read or is no JSON.
std::vector<ResultDocument> read_documents(const std::string& path);

/// Throws ConfigError, as at "file:/json/pointer", where a document is not exactly what the schema of results has.
void check_strictly(const ResultDocument& result);

/// The same, if it is what the page can show. Throws ConfigError.
void check_tolerantly(const ResultDocument& result);

/// Documents and results of a text; `file` names it in errors.
std::vector<ResultDocument> parse_documents(const std::string& text, const std::string& file);
std::vector<ResultDocument> parse_result_documents(const std::string& text, const std::string& file);

}  // namespace tatr
