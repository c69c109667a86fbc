// How a comparison reads: as text for a terminal and as Markdown for a pull request.
#pragma once

#include <string>
#include <vector>

#include "analysis/compare.hpp"

namespace tatr {

struct CompareTextOptions {
  bool strict = false;  // ambiguous times are regressions: list them
  bool all = false;     // list every metric, not only those that are not `same`
};

/// Layer times of every strategy, then each metric that is not the same with its reason, then the outcome.
std::string comparison_text(const Comparison& comparison, const CompareTextOptions& options);

/// The same in GitHub's Markdown, the outcome first.
std::string comparison_markdown(const Comparison& comparison, const CompareTextOptions& options);

/// One of several results that are compared with one base.
struct NamedComparison {
  std::string file;
  Comparison comparison;
};

/// The index of the worst: a regression before what --strict refuses before none; the first of equals.
std::size_t worst_of(const std::vector<NamedComparison>& results, bool strict);

/// Each in turn, and then a table of all with the worst outcome.
std::string comparisons_text(const std::vector<NamedComparison>& results, const CompareTextOptions& options);
std::string comparisons_markdown(const std::vector<NamedComparison>& results, const CompareTextOptions& options);

/// "no regression: 412 same, 1 faster", or "regression: …"; or, where some times or all could not be judged, or nothing
/// is there to be judged, that.
std::string outcome_line(const Comparison& comparison, bool strict);

}  // namespace tatr
