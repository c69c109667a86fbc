// tatr-sim merge: joins result files, such as the shards of a sweep, and makes tables of them.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"
#include "core/output_file.hpp"
#include "report/stored_results.hpp"
#include "table_files.hpp"

namespace tatr {

namespace {

struct MergeArguments {
  std::vector<std::string> files;
  std::string jsonl;
  TableArguments tables;
};

ExitCode merge(const MergeArguments& arguments) {
  check_apart({arguments.jsonl, arguments.tables.csv, arguments.tables.markdown}, {});
  check_apart({arguments.tables.csv, arguments.tables.markdown}, arguments.files);
  // Opened before the inputs are read, but put in place after: an input may be the output of lines, too.
  std::optional<OutputFile> jsonl;
  if (!arguments.jsonl.empty() || !arguments.tables.wanted()) {
    jsonl.emplace(arguments.jsonl.empty() ? "-" : arguments.jsonl);
  }
  TableFiles tables(arguments.tables);
  std::vector<std::vector<StoredResult>> files;
  for (const std::string& path : arguments.files) files.push_back(split_results(read_documents(path)));
  std::size_t dropped = 0;
  const std::vector<StoredResult> merged = merge_results(std::move(files), dropped);
  for (std::size_t i = 0; i < merged.size(); ++i) {
    if (jsonl) jsonl->write(merged[i].line() + "\n");
    tables.add(i, merged[i].document);
  }
  if (jsonl) jsonl->commit();
  tables.commit();
  fmt::print(stderr, "Experiments: {}, files: {}{}\n", merged.size(), arguments.files.size(),
             dropped > 0 ? fmt::format("; left out {} that agree with another", dropped) : "");
  return ExitCode::kDone;
}

}  // namespace

void add_merge(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<MergeArguments>();
  CLI::App* command = app.add_subcommand("merge", "Join result files (JSON or JSON lines) and make tables of them");
  command->add_option("RESULT", arguments->files, "Results of run --json, or JSONL, one a line; - is stdin")
      ->type_name("FILE")
      ->required();
  command->add_option("--jsonl", arguments->jsonl, "Write JSON lines here (default: stdout, unless a table is wanted)")
      ->type_name("FILE");
  add_table_options(*command, arguments->tables);
  command->callback([arguments, &action] { action = [arguments] { return merge(*arguments); }; });
}

}  // namespace tatr
