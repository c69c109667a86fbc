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

}  // namespace tatr
