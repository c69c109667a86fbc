// Results as they are read back: the JSON of one run, or JSON Lines of many. Decides what is a result (the schema says
// so), not what follows from it. A file is looked through once for what it holds, and then gives its experiments one by
// one, in any order: all of them together need not fit into memory.
#pragma once

#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "records/result_documents.hpp"
#include "records/result_scan.hpp"
#include "records/stored_results.hpp"

namespace tatr {

/// One experiment of a result and the environment it ran in, both as result.schema.json describes them.
struct ResultExperiment {
  nlohmann::json environment, experiment;
};

class ResultFile {
 public:
  /// "-" is standard input, which is kept in memory. Throws ConfigError where it cannot be read or holds something that
  /// is no result, and EnvironmentError where one has another schema version than this program's.
  explicit ResultFile(std::string path);

  /// Of every experiment, in the order of the file.
  const std::vector<ResultKey>& keys() const { return keys_; }

  /// For errors: the file, and the line where it holds several documents.
  const std::string& place(std::size_t experiment) const { return documents_[at_[experiment].document].source; }

  /// Strictly as the schema has it, with the tool and environment it ran with. Reads the document again, unless it is
  /// the one read last. Throws ConfigError.
  StoredResult load(std::size_t experiment);

 private:
  struct Document {
    std::string source;
    std::size_t offset_bytes, size_bytes;
  };
  struct Place {
    std::size_t document, index;
  };

  void add(const DocumentText& text);
  std::string text_of(const Document& document);

  std::string path_;
  std::ifstream again_;              // opened with the first load, for all of them
  std::optional<std::string> held_;  // all of a file that cannot be read twice
  std::vector<Document> documents_;
  std::vector<ResultKey> keys_;
  std::vector<Place> at_;
  std::optional<std::size_t> loaded_;  // the document that `document_` holds
  nlohmann::json document_;
};

/// All experiments of a file, in its order. Throws as ResultFile does.
std::vector<ResultExperiment> read_results(const std::string& path);

}  // namespace tatr
