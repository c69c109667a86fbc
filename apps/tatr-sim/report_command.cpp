// tatr-sim report: turns results into one self-contained HTML page.
#include <fmt/format.h>

#include <cstddef>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "commands.hpp"
#include "core/output_file.hpp"
#include "output_names.hpp"
#include "records/result_documents.hpp"
#include "report/html_page.hpp"
#include "result_files.hpp"

namespace tatr {

namespace {

struct ReportArguments {
  std::vector<std::string> results;
  std::string html;
};

ExitCode report(const ReportArguments& arguments) {
  check_apart({arguments.html}, arguments.results);
  check_name("--html", FileContent::kPage, arguments.html);
  OutputFile page(arguments.html);
  PageResults results;
  for (const std::string& path : arguments.results) {
    std::ifstream file = open_results(path);
    for_each_document(file, results_name(path), [&](const DocumentText& text) { results.add(parse_document(text)); });
  }
  write_page(results, [&](std::string_view part) { page.write(part); });
  page.commit();
  const std::size_t count = results.experiments();
  fmt::print(stderr, "Wrote {}: {} experiment{}\n", arguments.html == "-" ? "standard output" : arguments.html, count,
             count == 1 ? "" : "s");
  return ExitCode::kDone;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<ReportArguments>();
  CLI::App* command = app.add_subcommand("report", "Make a page with tables and pictures from results");
  add_result_files(*command, arguments->results);
  command->add_option("--html", arguments->html, "Write the page to this file; - is stdout")
      ->type_name("FILE")
      ->required();
  command->callback([arguments, &action] { action = [arguments] { return report(*arguments); }; });
}

}  // namespace tatr
