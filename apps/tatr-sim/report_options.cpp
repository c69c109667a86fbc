#include "report_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/error.hpp"
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

std::string section_names() {
  std::string names;
  for (const SectionInfo& section : report_sections()) names += (names.empty() ? "" : ", ") + std::string(section.name);
  return names;
}

std::string check_section(const std::string& name) {
  const auto& sections = report_sections();
  const bool known =
      std::any_of(sections.begin(), sections.end(), [&](const SectionInfo& section) { return section.name == name; });
  return known ? std::string() : fmt::format("'{}' is no section; allowed: {}", name, section_names());
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
