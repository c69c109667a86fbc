// Cells and rows of GitHub's Markdown.
#pragma once

#include <string>
#include <vector>

namespace tatr {

/// Text from a file, safe inside a table cell or a line of Markdown.
std::string markdown_text(const std::string& text);

/// "| a | b |" and a newline; cells are taken as they are.
std::string markdown_row(const std::vector<std::string>& cells);

}  // namespace tatr
