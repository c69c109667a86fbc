// The text report: a first screen, or sections by name, for every experiment of a run; as wide as core/format.hpp has
// it. Decides order and wording; writes nothing itself.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "records/records.hpp"

namespace tatr {

struct SectionInfo {
  std::string_view name, help;
};

/// What can be shown, in the order of the report.
const std::vector<SectionInfo>& report_sections();

struct TextOptions {
  bool colour = false;                  // the caller asks the terminal and NO_COLOR
  int experts = 4;                      // how many to list before and after rounding; negative: all
  std::set<std::string> sections = {};  // by name; none: the first screen
  std::size_t lines = 42;               // of the first screen, whose caller has something to add
  std::string command = {};             // that prints other parts if --show NAME is added to it; empty: not known
};

/// All but the first screen, which holds nothing that the others lack.
std::set<std::string> all_sections();

std::string text_report(const RunRecord& run, const TextOptions& options);

}  // namespace tatr
