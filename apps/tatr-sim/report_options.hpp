// The options that say how results are printed: --details, --show, --format, --experts, of every command that prints
// them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "report/text.hpp"

namespace tatr {

struct ReportOptions {
  bool details = false;
  std::vector<std::string> show;
  std::string format = "text", experts = "4";
  std::string command;  // that prints other parts of the same results, if --show NAME is added

  bool is_text() const { return format == "text"; }
};

/// `options` must outlive the command.
void add_report_options(CLI::App& command, ReportOptions& options);

/// Throws UsageError where they do not go together.
void check_report_options(const ReportOptions& options);

/// For text that goes to `stream`.
TextOptions text_options(const ReportOptions& options, std::FILE* stream);

}  // namespace tatr
