// tatr-sim compare: did a change make anything slower or different?
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analysis/compare.hpp"
#include "commands.hpp"
#include "core/output_file.hpp"
#include "output.hpp"
#include "report/compare_text.hpp"

namespace tatr {

namespace {

struct CompareArguments {
  std::string base, next, markdown;
  std::vector<std::string> thresholds;
  bool strict = false, all = false, show_thresholds = false;
};

/// "NAME=VALUE" into the struct; VALUE is finite and not negative.
void set_threshold(const std::string& text, CompareThresholds& thresholds) {
  const std::size_t equals = std::min(text.find('='), text.size());
  const std::string name = text.substr(0, equals), value = text.substr(std::min(equals + 1, text.size()));
  std::string names;
  for (const ThresholdField& field : kThresholdFields) {
    names += (names.empty() ? "" : ", ") + std::string(field.name);
    if (name != field.name) continue;
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !(number >= 0) || number > 1e9) {
      throw UsageError(fmt::format("--threshold {}: '{}' is no value; allowed: a number from 0 to 1e9", name, value));
    }
    thresholds.*field.member = number;
    return;
  }
  throw UsageError(fmt::format("--threshold '{}' names no threshold; allowed: {}", name, names));
}

void print_thresholds(const CompareThresholds& thresholds) {
  for (const ThresholdField& field : kThresholdFields) {
    fmt::print("{:<24}{:<8g}{}\n", field.name, thresholds.*field.member, field.meaning);
  }
}

ExitCode compare(const CompareArguments& arguments) {
  CompareThresholds thresholds;
  for (const std::string& text : arguments.thresholds) set_threshold(text, thresholds);
  if (arguments.show_thresholds) {
    print_thresholds(thresholds);
    if (arguments.base.empty()) return ExitCode::kDone;
  }
  if (arguments.next.empty()) throw UsageError("compare needs two results: BASE NEW (see tatr-sim compare --help)");
  ResultFile base(arguments.base), next(arguments.next);
  check_apart({arguments.markdown}, {arguments.base, arguments.next});
  std::optional<OutputFile> markdown;
  if (!arguments.markdown.empty()) markdown.emplace(arguments.markdown);
  const Comparison comparison = compare_results(source_of(base), source_of(next), thresholds, arguments.all);
  const CompareTextOptions options{arguments.strict, arguments.all};
  if (arguments.markdown != "-") {
    print_all(comparison_text(comparison, options), stdout);
  }
  if (markdown) markdown->commit(comparison_markdown(comparison, options));
  return regressed(comparison, arguments.strict) ? ExitCode::kVerification : ExitCode::kDone;
}

}  // namespace

void add_compare(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<CompareArguments>();
  CLI::App* command = app.add_subcommand("compare", "Compare two results and find regressions");
  command->add_option("BASE", arguments->base, "Result of the base: JSON, or JSON Lines")->type_name("FILE");
  command->add_option("NEW", arguments->next, "Result of the change")->type_name("FILE");
  command->add_option("--markdown", arguments->markdown, "Write the report as Markdown; - is stdout, without the text")
      ->type_name("FILE");
  command->add_flag("--strict", arguments->strict, "Ambiguous and missing are regressions too");
  command->add_flag("--all", arguments->all, "List every metric, not only what is not the same");
  command->add_option("--threshold", arguments->thresholds, "Override a threshold: --threshold layer_margin=0.05")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--show-thresholds", arguments->show_thresholds, "Print what verdicts are decided by");
  command->footer(
      "Exit codes: 0 no regression found; 1 regression; 2 a result cannot be read, or nothing in common;\n"
      "  3 another device or schema version. Faster is never a regression.");
  command->callback([arguments, &action] { action = [arguments] { return compare(*arguments); }; });
}

}  // namespace tatr
