// The first screen of an experiment, and that of many.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "records/records.hpp"
#include "report/text_sections.hpp"

namespace tatr {

inline constexpr std::size_t kFewestRows = 6;  // of a table, whatever else there is to say

/// What each strategy buys and costs, a verdict and the first warnings, in at most `lines` lines where six strategies
/// fit into that.
std::string overview(const TextContext& context, std::size_t lines);

/// What is gained, at what cost, in a sentence.
std::string verdict_section(const TextContext& context);

/// One line for each experiment, those that gain most first, what is odd above all, in about `lines` lines.
std::string overview_of_many(const RunRecord& run, const TextOptions& options, std::size_t lines);

/// How tables name GainKind::kTiles; of a training pass as the section on passes does.
std::string rows_name(bool training);

/// What both have in common: a table whose first column gives way so that all columns stand side by side.
std::string one_block(const std::vector<std::string>& heads, std::vector<std::vector<std::string>> rows);
std::string more_warnings(std::size_t count, const TextOptions& options);

/// "... 3 more: tatr-sim show result.json --show counts", or the option alone where the command is not known. What is
/// longer than a line is continued as a shell takes it.
std::string more_line(const std::string& what, const TextOptions& options, const std::string& option);

}  // namespace tatr
