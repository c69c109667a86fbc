#include "report_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/error.hpp"
#include "json/schema_walk.hpp"
#include "output.hpp"

namespace tatr {

namespace {

std::string check_experts(const std::string& experts) {
  if (experts == "all" ||
      (!experts.empty() && experts.size() < 6 && experts.find_first_not_of("0123456789") == std::string::npos)) {
    return {};
  }
  return "'" + experts + "' is no number of experts; allowed: a number or 'all'";
}

/// The only section that begins so, or the one that is spelt nearly so; empty if there is none.
std::string likely_section(const std::string& name, const std::vector<std::string>& names) {
  std::vector<std::string> longer;
  for (const std::string& section : names) {
    if (!name.empty() && section.starts_with(name)) longer.push_back(section);
  }
  return longer.size() == 1 ? longer.front() : nearest_name(name, names);
}

std::string check_section(const std::string& name) {
  std::vector<std::string> names;
  for (const SectionInfo& section : report_sections()) names.emplace_back(section.name);
  if (std::find(names.begin(), names.end(), name) != names.end()) return {};
  const std::string likely = likely_section(name, names);
  return fmt::format("'{}' is no section; allowed: {}{}", name, fmt::join(names, ", "),
                     likely.empty() ? "" : "; did you mean '" + likely + "'?");
}

}  // namespace

void add_report_options(CLI::App& command, ReportOptions& options) {
  std::string footer = "Sections of --show:\n";
  for (const SectionInfo& section : report_sections()) {
    footer += fmt::format("  {:<14} {}\n", section.name, section.help);
  }
  command.footer(footer.substr(0, footer.size() - 1));
  CLI::Option* details = command.add_flag("--details", options.details, "Print every section, not the first screen");
  command.add_option("--show", options.show, "Print these sections, named below")
      ->type_name("SECTION,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(check_section)
      ->excludes(details);
  command.add_option("--format", options.format, "text; table: a line per strategy and tile; csv, json: all")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "table", "csv", "json"}).description(""));
  command.add_option("--experts", options.experts, "How many experts the section lists, or 'all'")
      ->type_name("N")
      ->check(check_experts);
}

void check_report_options(const ReportOptions& options) {
  const bool chosen = options.details || !options.show.empty() || options.experts != "4";
  if (options.is_text() || !chosen) return;
  throw UsageError(
      fmt::format("--details, --show and --experts are of text; --format {} has all there is", options.format));
}

TextOptions text_options(const ReportOptions& options, std::FILE* stream) {
  TextOptions text;
  text.colour = takes_colour(stream);
  text.command = options.command;
  text.experts = options.experts == "all" ? -1 : std::atoi(options.experts.c_str());
  text.sections.insert(options.show.begin(), options.show.end());
  if (options.experts != "4" && !options.details) text.sections.insert("experts");  // who asks for experts wants them
  if (options.details) text.sections = all_sections();
  return text;
}

}  // namespace tatr
