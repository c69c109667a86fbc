// tatr-sim show: prints stored results as run printed them.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "output.hpp"
#include "records/result_documents.hpp"
#include "records/result_reader.hpp"
#include "report/result_tables.hpp"
#include "report/text.hpp"
#include "report_options.hpp"
#include "result_files.hpp"

namespace tatr {

namespace {

struct ShowArguments {
  std::vector<std::string> files;
  ReportOptions report;
};

std::vector<ResultDocument> read_all(const std::vector<std::string>& files) {
  std::vector<ResultDocument> results;
  for (const std::string& file : files) {
    for (ResultDocument& result : read_documents(file)) {
      check_tolerantly(result);
      results.push_back(std::move(result));
    }
  }
  return results;
}

bool same_place(const Environment& a, const Environment& b) { return a.device == b.device && a.cpu == b.cpu; }

/// Results of one machine, as those of lines are, make one report.
std::vector<RunRecord> runs_of(const std::vector<ResultDocument>& results) {
  std::vector<RunRecord> runs;
  for (const ResultDocument& result : results) {
    RunRecord run = read_run(result);
    const bool joins = !runs.empty() && same_place(runs.back().environment, run.environment) &&
                       runs.back().training.empty() && run.training.empty();
    if (!joins) {
      runs.push_back(std::move(run));
      continue;
    }
    for (ExperimentRecord& experiment : run.experiments) runs.back().experiments.push_back(std::move(experiment));
  }
  return runs;
}

std::string text_of(const std::vector<ResultDocument>& results, const TextOptions& options) {
  std::string text;
  for (const RunRecord& run : runs_of(results)) {
    const std::string part = text_report(run, options);
    if (!part.empty()) text += (text.empty() ? "" : "\n") + part;
  }
  return text;
}

std::vector<nlohmann::json> documents_of(std::vector<ResultDocument>&& results) {
  std::vector<nlohmann::json> documents;
  documents.reserve(results.size());
  for (ResultDocument& result : results) {
    check_strictly(result);  // a table takes what a page can do without
    documents.push_back(std::move(result.document));
  }
  return documents;
}

std::string csv_of(const std::vector<nlohmann::json>& documents) {
  std::string text = csv_header();
  for (const nlohmann::json& document : documents) text += csv_rows(document);
  return text;
}

/// One alone is indented, several are a line each.
std::string json_of(const std::vector<ResultDocument>& results) {
  if (results.size() == 1) return results.front().document.dump(2) + "\n";
  std::string text;
  for (const ResultDocument& result : results) text += result.document.dump() + "\n";
  return text;
}

ExitCode show(ShowArguments& arguments) {
  check_report_options(arguments.report);
  arguments.report.command = command_line();
  std::vector<ResultDocument> results = read_all(arguments.files);
  std::string text;
  if (arguments.report.is_text()) {
    text = text_of(results, text_options(arguments.report, stdout));
    if (text.empty()) {
      throw UsageError(fmt::format("{}: has nothing of what --show names; --details prints all there is",
                                   results_name(arguments.files.front())));
    }
  } else if (arguments.report.format == "json") {
    text = json_of(results);
  } else {
    const std::vector<nlohmann::json> documents = documents_of(std::move(results));
    text = arguments.report.format == "csv" ? csv_of(documents) : aligned_table(documents);
  }
  print_all(text, stdout);
  return ExitCode::kDone;
}

}  // namespace

void add_show(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<ShowArguments>();
  CLI::App* command = app.add_subcommand("show", "Print stored results, the first screen or any part");
  add_result_files(*command, arguments->files);
  add_report_options(*command, arguments->report);
  command->callback([arguments, &action] { action = [arguments] { return show(*arguments); }; });
}

}  // namespace tatr
