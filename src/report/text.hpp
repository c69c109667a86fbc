// The text report: example 04's sections for every experiment of a run, 80 columns wide. Decides order and wording of
// sections; writes nothing itself.
#pragma once

#include <string>

#include "records/records.hpp"

namespace tatr {

struct TextOptions {
  bool colour = false;  // the caller asks the terminal and NO_COLOR
  int experts = 4;      // how many to list before and after rounding; negative: all
};

std::string text_report(const RunRecord& run, const TextOptions& options);

}  // namespace tatr
