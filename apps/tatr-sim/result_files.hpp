// The argument RESULT…, of every command that reads stored results one after the other.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace tatr {

/// `files` must outlive the command.
inline void add_result_files(CLI::App& command, std::vector<std::string>& files) {
  command.add_option("RESULT", files, "Results of run --json, or JSONL, one a line; - is stdin")
      ->type_name("FILE")
      ->required();
}

}  // namespace tatr
