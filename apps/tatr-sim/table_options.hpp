// The options --csv and --markdown, of every command that has results.
#pragma once

#include <CLI/CLI.hpp>

#include "experiment/table_files.hpp"
#include "output_names.hpp"

namespace tatr {

/// `paths` must outlive the command.
inline void add_table_options(CLI::App& command, TablePaths& paths) {
  command.add_option("--csv", paths.csv, "Write a table of every figure, a row per strategy, tile and layer")
      ->type_name("FILE");
  command.add_option("--markdown", paths.markdown, "Write a table of the main figures")->type_name("FILE");
}

inline void check_table_names(const TablePaths& paths) {
  check_name("--csv", FileContent::kCsv, paths.csv);
  check_name("--markdown", FileContent::kMarkdown, paths.markdown);
}

}  // namespace tatr
