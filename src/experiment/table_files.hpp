// Tables of results: files that are opened before work and written after it, in the order of the experiments whatever
// the order in which they finish.
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/output_file.hpp"

namespace tatr {

/// Where tables go: a file, or "-" for standard output; empty: not wanted.
struct TablePaths {
  std::string csv, markdown;
  bool wanted() const { return !csv.empty() || !markdown.empty(); }
};

class TableFiles {
 public:
  /// Throws EnvironmentError if a file cannot be created.
  explicit TableFiles(const TablePaths& paths);

  /// Takes so much of the disk for each file now. Throws EnvironmentError if it has not so much.
  void reserve(std::size_t bytes);

  /// Adds a JSON result in the place of the experiment with this number.
  void add(std::size_t index, const nlohmann::json& result);

  /// Writes the files. Throws EnvironmentError.
  void commit();

 private:
  struct Rows {
    std::string csv, markdown;
  };
  std::optional<OutputFile> csv_, markdown_;
  std::map<std::size_t, Rows> rows_;
};

}  // namespace tatr
