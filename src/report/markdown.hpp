// Cells and rows of GitHub's Markdown.
#pragma once

#include <string>
#include <vector>

namespace tatr {

/// Text from a file, safe inside a table cell or a line of Markdown.
std::string markdown_text(const std::string& text);

/// "| a | b |" and a newline; cells are taken as they are.
std::string markdown_row(const std::vector<std::string>& cells);

/// A table of texts from files; `alignment` is what stands below the heads: "|:--|--:|".
std::string markdown_table(const std::vector<std::string>& heads, const std::string& alignment,
                           const std::vector<std::vector<std::string>>& rows);

}  // namespace tatr
