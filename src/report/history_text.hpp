// How a history reads: as text for a terminal and as Markdown.
#pragma once

#include <string>
#include <vector>

#include "analysis/history.hpp"

namespace tatr {

/// Each series as a row with a small picture of its course, then every change with both levels and the commits where
/// they begin, then the outcome. Without `all`, of more than 50 series those that changed.
std::string history_text(const std::vector<HistoryOfExperiment>& history, bool all);
std::string history_markdown(const std::vector<HistoryOfExperiment>& history, bool all);

/// "slower lately: 1 of 7 times", "no slow-down lately: …", or that there are too few results to tell.
std::string history_outcome(const std::vector<HistoryOfExperiment>& history);

}  // namespace tatr
