#include "report/markdown.hpp"

#include <string_view>

#include "core/format.hpp"

namespace tatr {

std::string markdown_text(const std::string& text) {
  std::string safe;
  for (const char c : printable(text)) {
    if (std::string_view("|<>&*_`[]#@\\~").find(c) != std::string_view::npos) safe += '\\';
    safe += c;
  }
  return safe;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line += " " + cell + " |";
  return line + "\n";
}

std::string markdown_table(const std::vector<std::string>& heads, const std::string& alignment,
                           const std::vector<std::vector<std::string>>& rows) {
  std::string text = markdown_row(heads) + alignment + "\n";
  for (std::vector<std::string> row : rows) {
    for (std::string& cell : row) cell = markdown_text(cell);
    text += markdown_row(row);
  }
  return text;
}

}  // namespace tatr
