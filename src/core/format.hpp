// How numbers, paragraphs and tables look in text: as wide as the terminal, or 80 columns. Knows no record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tatr {

inline constexpr std::size_t kReportWidth = 80;  // where nobody says otherwise, as in a pipe

/// Columns of text from here on, for the whole program: it writes to one terminal. At least 40, at most 200.
void set_report_width(std::size_t columns);
std::size_t report_width();

/// Stands for a value that was not measured.
inline constexpr const char* kAbsent = "-";

/// The code point of UTF-8 text that begins at `text[at]`, and the bytes it takes; bytes that are no UTF-8 stand for
/// themselves.
std::uint32_t code_point(std::string_view text, std::size_t at, std::size_t& bytes);

/// Columns of a terminal that UTF-8 text takes: two for each wide character (Chinese, Japanese, Korean, emoji).
std::size_t display_width(std::string_view text);

/// `text` with control characters replaced, so that a name from a file cannot steer the terminal.
std::string printable(std::string_view text);

/// At most `width` columns; what is cut is shown by an ellipsis.
std::string shorten(std::string_view text, std::size_t width);

/// As a shell takes it for one word.
std::string shell_word(const std::string& text);

/// 16384 -> "16,384".
std::string format_count(std::int64_t value);

/// 0.673 -> "67.3%"; exactly 1 -> "100%", exactly 0 -> "0%". Small shares keep two digits that say something.
std::string format_percent(double share);

/// A change with its sign: 0.0027 -> "+0.27%"; exactly 0 -> "0%".
std::string format_change(double share);

/// Three significant digits without an exponent where that stays short: "0.012", "4.82", "1,203".
std::string format_value(double value);
std::string format_value(const std::optional<double>& value);

/// "1.27× [1.26, 1.29]"
std::string format_ratio(double value, double low, double high);

/// Words of `text` in lines of at most report_width() columns, each after `indent` blanks and ended by a newline. A
/// word longer than the line stays whole.
std::string wrap(std::string_view text, std::size_t indent = 0, std::size_t hanging = 0);

/// A table whose first column is left-aligned and names the row. Columns that say nothing (all absent or zero) are left
/// out; a table wider than the report is split into blocks that repeat the first column.
class Table {
 public:
  explicit Table(std::vector<std::string> heads);
  void add_row(std::vector<std::string> cells);
  /// Keeps the column even where all its cells are zero.
  void keep(std::size_t column);
  std::string render(std::size_t indent = 2) const;
  /// In one block, however wide.
  std::string render_whole() const;

 private:
  std::vector<std::size_t> shown_columns() const;
  bool says_something(std::size_t column) const;
  std::size_t width(std::size_t column) const;
  std::string render_block(const std::vector<std::size_t>& columns, std::size_t indent) const;

  std::vector<std::string> heads_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> kept_;
};

}  // namespace tatr
