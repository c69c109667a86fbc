#include "json/json_hints.hpp"

#include <algorithm>
#include <cctype>

namespace tatr {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.'; }

/// The word or character at which the parser stopped: it tells the end of what it read, not the beginning.
std::string_view token_at(std::string_view text, std::size_t position) {
  std::size_t at = std::min(position == 0 ? 0 : position - 1, text.size() - 1);
  while (at > 0 && is_word(text[at]) && is_word(text[at - 1])) --at;
  std::size_t end = at + 1;
  while (is_word(text[at]) && end < text.size() && is_word(text[end])) ++end;
  return text.substr(at, end - at);
}

char last_before(std::string_view text, std::size_t end) {
  const std::size_t at = text.substr(0, end).find_last_not_of(kBlanks);
  return at == std::string_view::npos ? '\0' : text[at];
}

/// "key: value" or "key = value" where JSON has a bracket; '\0' where the text begins otherwise.
char separator_of_first_line(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.find_first_not_of(kBlanks) == std::string_view::npos || line.front() == '#') continue;
    if (line.starts_with("---")) return ':';
    if (line.front() == '[') return line.find(',') == std::string_view::npos ? '=' : '\0';
    std::size_t word = 0;
    while (word < line.size() && is_word(line[word])) ++word;
    const std::size_t next = line.find_first_not_of(' ', word);
    return word > 0 && next < line.size() && (line[next] == ':' || line[next] == '=') ? line[next] : '\0';
  }
  return '\0';
}

bool is_utf16(std::string_view text) {
  using namespace std::string_view_literals;
  return text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff") || text.starts_with("{\0"sv) ||
         text.starts_with("\0{"sv);
}

}  // namespace

std::string json_hint(std::string_view text, std::size_t position) {
  if (text.find_first_not_of(kBlanks) == std::string_view::npos) return "the file is empty but for blanks";
  if (is_utf16(text)) return "it is UTF-16; iconv -f UTF-16 -t UTF-8 FILE makes it UTF-8";
  if (text.front() == '<') return "it looks like HTML or XML";
  if (const char separator = separator_of_first_line(text); separator == ':') {
    return "it looks like YAML; expected JSON: braces, and names in double quotes";
  } else if (separator == '=') {
    return "it looks like TOML; expected JSON: braces, and names in double quotes";
  }
  const std::string_view token = token_at(text, position);
  const auto start = static_cast<std::size_t>(token.data() - text.data());
  if (token == "/" || token == "#" || (token == "*" && start > 0 && text[start - 1] == '/')) {
    return "JSON has no comments; the key \"description\" of a config takes remarks";
  }
  if (token == "'" || (start > 0 && text[start - 1] == '\'')) return "JSON has double quotes only";
  if (token == "True" || token == "False" || token == "None" || token == "T" || token == "F" || token == "N") {
    if (text.substr(start).starts_with("NaN")) return "JSON has no NaN; expected a number";
    return "it looks like a Python dict; json.dumps writes one as JSON (true, false, null)";
  }
  if (token.starts_with("Na") || token.starts_with("Inf") || token.starts_with("-I"))
    return "JSON has no NaN and no Infinity; expected a number";
  if ((token == "}" || token == "]") && last_before(text, start) == ',') return "there is a comma before the bracket";
  if (position > text.size() || (position == text.size() && token != "}" && token != "]")) {
    return "the file ends before it is complete";
  }
  return {};
}

}  // namespace tatr
