// tatr-sim merge: joins result files, such as the shards of a sweep, and makes tables of them.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "core/output_file.hpp"
#include "output_names.hpp"
#include "records/result_file.hpp"
#include "records/stored_results.hpp"
#include "result_files.hpp"
#include "table_options.hpp"

namespace tatr {

namespace {

struct MergeArguments {
  std::vector<std::string> files;
  std::string jsonl;
  TablePaths tables;
};

/// File and experiment, one of each file in turn, as shards have dealt them out.
std::vector<std::pair<std::size_t, std::size_t>> in_turn(const std::vector<ResultFile>& files) {
  std::size_t longest = 0;
  for (const ResultFile& file : files) longest = std::max(longest, file.keys().size());
  std::vector<std::pair<std::size_t, std::size_t>> order;
  for (std::size_t turn = 0; turn < longest; ++turn) {
    for (std::size_t file = 0; file < files.size(); ++file) {
      if (turn < files[file].keys().size()) order.emplace_back(file, turn);
    }
  }
  return order;
}

ExitCode merge(const MergeArguments& arguments) {
  check_apart({arguments.jsonl, arguments.tables.csv, arguments.tables.markdown}, {});
  check_apart({arguments.tables.csv, arguments.tables.markdown}, arguments.files);
  check_name("--jsonl", FileContent::kJson, arguments.jsonl);
  check_table_names(arguments.tables);
  // Opened before the inputs are read, but put in place after: an input may be the output of lines, too.
  std::optional<OutputFile> jsonl;
  if (!arguments.jsonl.empty() || !arguments.tables.wanted()) {
    jsonl.emplace(arguments.jsonl.empty() ? "-" : arguments.jsonl);
  }
  TableFiles tables(arguments.tables);
  std::vector<ResultFile> files;
  for (const std::string& path : arguments.files) files.emplace_back(path);
  const bool straight = jsonl && !arguments.jsonl.empty() && arguments.jsonl != "-";
  std::string held;  // for standard output, which gets all or nothing
  MergedResults merged;
  std::size_t kept = 0, dropped = 0;
  for (const auto& [file, experiment] : in_turn(files)) {
    const StoredResult result = files[file].load(experiment);
    if (!merged.add(result)) {
      ++dropped;
      continue;
    }
    if (straight) jsonl->write(result.line() + "\n");
    if (jsonl && !straight) held += result.line() + "\n";
    tables.add(kept++, result.document);
  }
  if (jsonl) jsonl->commit(held);
  tables.commit();
  fmt::print(stderr, "Experiments: {}, files: {}{}\n", kept, arguments.files.size(),
             dropped > 0 ? fmt::format("; left out {} that agree with another", dropped) : "");
  return ExitCode::kDone;
}

}  // namespace

void add_merge(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<MergeArguments>();
  CLI::App* command = app.add_subcommand("merge", "Join result files (JSON or JSON lines) and make tables of them");
  add_result_files(*command, arguments->files);
  command->add_option("--jsonl", arguments->jsonl, "Write JSON lines here (default: stdout, unless a table is wanted)")
      ->type_name("FILE");
  add_table_options(*command, arguments->tables);
  command->callback([arguments, &action] { action = [arguments] { return merge(*arguments); }; });
}

}  // namespace tatr
