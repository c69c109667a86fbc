// tatr-sim compare: did a change make anything slower or different?
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "analysis/compare.hpp"
#include "analysis/history.hpp"
#include "commands.hpp"
#include "core/output_file.hpp"
#include "json/json_text.hpp"
#include "json/schema_walk.hpp"
#include "output.hpp"
#include "output_names.hpp"
#include "records/result_file.hpp"
#include "report/compare_text.hpp"
#include "report/history_text.hpp"

namespace tatr {

namespace {

struct CompareArguments {
  std::vector<std::string> results;  // BASE NEW…; with a history, all are added to it
  std::string markdown, history, commit;
  std::vector<std::string> thresholds;
  bool strict = false, all = false, show_thresholds = false;
};

/// "NAME=VALUE" into the struct; VALUE is finite and not negative.
void set_threshold(const std::string& text, CompareThresholds& thresholds) {
  const std::size_t equals = std::min(text.find('='), text.size());
  const std::string name = text.substr(0, equals), value = text.substr(std::min(equals + 1, text.size()));
  std::vector<std::string> names;
  for (const ThresholdField& field : kThresholdFields) {
    names.emplace_back(field.name);
    if (name != field.name) continue;
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !(number >= 0) || number > 1e9) {
      throw UsageError(fmt::format("--threshold {}: '{}' is no value; allowed: a number from 0 to 1e9", name, value));
    }
    thresholds.*field.member = number;
    return;
  }
  const std::string near = nearest_name(name, names);
  throw UsageError(fmt::format("--threshold '{}' names no threshold; allowed: {}{}", name, fmt::join(names, ", "),
                               near.empty() ? "" : "; did you mean '" + near + "'?"));
}

void print_thresholds(const CompareThresholds& thresholds) {
  for (const ThresholdField& field : kThresholdFields) {
    fmt::print("{:<24}{:<8g}{}\n", field.name, thresholds.*field.member, field.meaning);
  }
}

/// Text to standard output, unless the Markdown goes there.
void print_report(const CompareArguments& arguments, std::optional<OutputFile>& markdown, const std::string& text,
                  const std::string& as_markdown) {
  if (arguments.markdown != "-") print_all(text, stdout);
  if (markdown) markdown->commit(as_markdown);
}

/// A result on standard input can be read once only.
void check_stdin(const std::vector<std::string>& results) {
  if (std::count(results.begin(), results.end(), "-") > 1) {
    throw UsageError("more than one result is - (standard input); give the others a file");
  }
}

/// BASE beside each of the others.
ExitCode compare_files(const CompareArguments& arguments, const CompareThresholds& thresholds) {
  ResultFile base(arguments.results.front());
  check_apart({arguments.markdown}, arguments.results);
  check_name("--markdown", FileContent::kMarkdown, arguments.markdown);
  std::optional<OutputFile> markdown;
  if (!arguments.markdown.empty()) markdown.emplace(arguments.markdown);
  ExperimentSource base_source = source_of(base);
  base_source.name = "BASE (" + arguments.results.front() + ")";
  std::vector<NamedComparison> results;
  for (std::size_t i = 1; i < arguments.results.size(); ++i) {
    ResultFile next(arguments.results[i]);
    ExperimentSource source = source_of(next);
    source.name = "NEW (" + arguments.results[i] + ")";
    results.push_back({arguments.results[i], compare_results(base_source, source, thresholds, arguments.all)});
  }
  const CompareTextOptions options{arguments.strict, arguments.all};
  print_report(arguments, markdown, comparisons_text(results, options), comparisons_markdown(results, options));
  const Comparison& worst = results[worst_of(results, arguments.strict)].comparison;
  return regressed(worst, arguments.strict) ? ExitCode::kVerification : ExitCode::kDone;
}

/// The lines of results that the history does not hold yet. Nothing is written before all are read.
std::vector<std::string> new_lines(const CompareArguments& arguments, History& history) {
  std::vector<std::string> lines;
  for (const std::string& path : arguments.results) {
    ResultFile file(path);
    for (std::size_t i = 0; i < file.keys().size(); ++i) {
      std::string line = history_line(file.load(i).document, arguments.commit);
      const char* why = nullptr;
      if (line.empty()) {
        why = "has no measured times with a yardstick";
      } else if (history.has(line)) {
        why = "is in the history already";
      }
      if (why != nullptr) {
        fmt::print(stderr, "{}: experiment {} {}: left out\n", file.place(i), brief_json(file.keys()[i].name), why);
        continue;
      }
      history.add(line, path);
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

/// Adds results to a file of lines, if there are any, and tells what changed over all of it.
ExitCode show_history(const CompareArguments& arguments, const CompareThresholds& thresholds) {
  if (arguments.results.empty()) open_text_file(arguments.history);  // there is nothing to show of a new one
  check_apart({arguments.markdown, arguments.history}, arguments.results);
  check_name("--markdown", FileContent::kMarkdown, arguments.markdown);
  std::optional<OutputFile> markdown;
  if (!arguments.markdown.empty()) markdown.emplace(arguments.markdown);
  LineFile file(arguments.history);
  History history;
  std::size_t number = 0;
  file.recover([&](std::string_view line) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    history.add(line, fmt::format("{} (line {})", arguments.history, number));
  });
  for (std::string& line : new_lines(arguments, history)) file.append(std::move(line));
  const std::vector<HistoryOfExperiment> experiments = history.analyse(thresholds);
  if (experiments.empty()) throw InputError(arguments.history, "holds no results, and none could be added");
  print_report(arguments, markdown, history_text(experiments, arguments.all),
               history_markdown(experiments, arguments.all));
  return slowed_lately(experiments) ? ExitCode::kVerification : ExitCode::kDone;
}

ExitCode compare(const CompareArguments& arguments) {
  CompareThresholds thresholds;
  for (const std::string& text : arguments.thresholds) set_threshold(text, thresholds);
  if (arguments.show_thresholds) {
    print_thresholds(thresholds);
    if (arguments.results.empty() && arguments.history.empty()) return ExitCode::kDone;
  }
  check_stdin(arguments.results);
  if (!arguments.history.empty()) return show_history(arguments, thresholds);
  if (arguments.results.size() < 2) {
    throw UsageError("compare needs two results or more: BASE NEW (see tatr-sim compare --help)");
  }
  return compare_files(arguments, thresholds);
}

}  // namespace

void add_compare(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<CompareArguments>();
  CLI::App* command = app.add_subcommand("compare", "Compare results with a base and find regressions");
  command->add_option("RESULT", arguments->results, "BASE NEW…: a base and changes; with --history, what to add")
      ->type_name("FILE");
  CLI::Option* history =
      command->add_option("--history", arguments->history, "Add the results to this file; show where times changed")
          ->type_name("FILE");
  command
      ->add_option("--commit", arguments->commit,
                   "What to call the results in the history (default: tatr-sim's commit)")
      ->type_name("NAME")
      ->needs(history);
  command->add_option("--markdown", arguments->markdown, "Write the report as Markdown; - is stdout, without the text")
      ->type_name("FILE");
  command->add_flag("--strict", arguments->strict, "Ambiguous and missing are regressions too")->excludes(history);
  command->add_flag("--all", arguments->all, "List every metric, not only what is not the same");
  command->add_option("--threshold", arguments->thresholds, "Override a threshold: --threshold layer_margin=0.05")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--show-thresholds", arguments->show_thresholds, "Print what verdicts are decided by");
  command->footer(
      "Exit codes: 0 no regression found; 1 regression (of several results: in any; of a history: within\n"
      "  the newest 10); 2 a result cannot be read, or nothing in common; 3 another device or version.\n"
      "  Faster is never a regression.");
  command->callback([arguments, &action] { action = [arguments] { return compare(*arguments); }; });
}

}  // namespace tatr
