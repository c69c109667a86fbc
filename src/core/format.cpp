#include "core/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace tatr {
namespace {

std::size_t columns_of_report = kReportWidth;

bool continues_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// East Asian Width W and F (Unicode 15, UAX #11), as blocks.
bool is_wide(std::uint32_t point) {
  constexpr std::uint32_t kBlocks[][2] = {{0x1100, 0x115F}, {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xA960, 0xA97F},
                                          {0xAC00, 0xD7A3}, {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                                          {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};
  return std::any_of(std::begin(kBlocks), std::end(kBlocks),
                     [&](const auto& block) { return point >= block[0] && point <= block[1]; });
}

std::string trimmed_zeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string padded(std::string_view text, std::size_t width, bool left) {
  const std::string blanks(width - std::min(width, display_width(text)), ' ');
  return left ? std::string(text) + blanks : blanks + std::string(text);
}

bool is_nothing(const std::string& cell) { return cell.empty() || cell == kAbsent || cell == "0" || cell == "0%"; }

}  // namespace

std::uint32_t code_point(std::string_view text, std::size_t at, std::size_t& bytes) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::uint32_t point = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  for (bytes = 1; bytes < length && at + bytes < text.size() && continues_code_point(text[at + bytes]); ++bytes) {
    point = point << 6 | (static_cast<unsigned char>(text[at + bytes]) & 0x3F);
  }
  return point;
}

void set_report_width(std::size_t columns) { columns_of_report = std::clamp<std::size_t>(columns, 40, 200); }

std::size_t report_width() { return columns_of_report; }

std::size_t display_width(std::string_view text) {
  std::size_t columns = 0, bytes = 0;
  for (std::size_t at = 0; at < text.size(); at += bytes) columns += is_wide(code_point(text, at, bytes)) ? 2 : 1;
  return columns;
}

std::string printable(std::string_view text) {
  std::string clean(text);
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return clean;
}

std::string shorten(std::string_view text, std::size_t width) {
  const std::string clean = printable(text);
  if (display_width(clean) <= width) return clean;
  std::size_t at = 0, bytes = 0;
  for (std::size_t columns = 1; at < clean.size(); at += bytes) {  // one is the ellipsis's
    columns += is_wide(code_point(clean, at, bytes)) ? 2 : 1;
    if (columns > width) break;
  }
  return clean.substr(0, at) + "…";
}

std::string shell_word(const std::string& text) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:,@%";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string{c};
  return quoted + "'";
}

std::string format_count(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t end = digits.size(); end > first + 3; end -= 3) digits.insert(end - 3, ",");
  return digits;
}

std::string format_percent(double share) {
  if (!std::isfinite(share)) return kAbsent;
  const double percent = share * 100;
  if (percent == 0 || percent == 100) return fmt::format("{:.0f}%", percent);
  if (std::abs(percent) < 0.001) return "<0.001%";
  if (std::abs(percent) < 0.1) return fmt::format("{:.3f}%", percent);
  if (std::abs(percent) < 1) return fmt::format("{:.2f}%", percent);
  return fmt::format("{:.1f}%", percent);
}

std::string format_change(double share) {
  if (!std::isfinite(share)) return kAbsent;
  if (share == 0) return "0%";
  const double percent = share * 100;
  return fmt::format("{:+.{}f}%", percent, std::abs(percent) < 1 ? 2 : std::abs(percent) < 100 ? 1 : 0);
}

std::string format_value(double value) {
  if (!std::isfinite(value)) return kAbsent;
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size >= 1000 && size < 9e15) return format_count(std::llround(value));
  if (size < 1e-4 || size >= 9e15) return fmt::format("{:.1e}", value);
  const int decimals = std::clamp(2 - static_cast<int>(std::floor(std::log10(size))), 0, 6);
  return value == std::round(value) ? fmt::format("{:.0f}", value)
                                    : trimmed_zeros(fmt::format("{:.{}f}", value, decimals));
}

std::string format_value(const std::optional<double>& value) { return value ? format_value(*value) : kAbsent; }

std::string format_ratio(double value, double low, double high) {
  return fmt::format("{:.2f}× [{:.2f}, {:.2f}]", value, low, high);
}

std::string wrap(std::string_view text, std::size_t indent, std::size_t hanging) {
  const std::string clean = printable(text);
  std::string lines, line(indent, ' ');
  bool empty = true;
  for (std::size_t begin = 0; begin < clean.size();) {
    const std::size_t end = std::min(clean.find(' ', begin), clean.size());
    const std::string_view word = std::string_view(clean).substr(begin, end - begin);
    begin = end + 1;
    if (word.empty()) continue;
    if (!empty && display_width(line) + 1 + display_width(word) > report_width()) {
      lines += line + "\n";
      line.assign(indent + hanging, ' ');
      empty = true;
    }
    if (!empty) line += ' ';
    line += word;
    empty = false;
  }
  return empty ? lines : lines + line + "\n";
}

Table::Table(std::vector<std::string> heads) : heads_(std::move(heads)), kept_(heads_.size(), false) {}

void Table::add_row(std::vector<std::string> cells) {
  cells.resize(heads_.size());
  rows_.push_back(std::move(cells));
}

void Table::keep(std::size_t column) { kept_[column] = true; }

bool Table::says_something(std::size_t column) const {
  if (column == 0 || kept_[column]) return true;
  return !std::all_of(rows_.begin(), rows_.end(), [&](const auto& row) { return is_nothing(row[column]); });
}

std::size_t Table::width(std::size_t column) const {
  std::size_t widest = display_width(heads_[column]);
  for (const auto& row : rows_) widest = std::max(widest, display_width(row[column]));
  return widest;
}

std::string Table::render_block(const std::vector<std::size_t>& columns, std::size_t indent) const {
  std::string text;
  const auto add_line = [&](const std::vector<std::string>& cells) {
    std::string line(indent, ' ');
    for (const std::size_t column : columns) {
      if (column != columns.front()) line += "  ";
      line += padded(cells[column], width(column), column == 0);
    }
    text += line.erase(line.find_last_not_of(' ') + 1) + "\n";
  };
  add_line(heads_);
  std::size_t total = 2 * (columns.size() - 1);
  for (const std::size_t column : columns) total += width(column);
  text += std::string(indent, ' ') + std::string(total, '-') + "\n";
  for (const auto& row : rows_) add_line(row);
  return text;
}

std::vector<std::size_t> Table::shown_columns() const {
  std::vector<std::size_t> columns;
  for (std::size_t column = 0; column < heads_.size(); ++column) {
    if (says_something(column)) columns.push_back(column);
  }
  return columns;
}

std::string Table::render_whole() const { return render_block(shown_columns(), 0); }

std::string Table::render(std::size_t indent) const {
  std::string text;
  std::vector<std::size_t> block;
  std::size_t used = 0;
  for (const std::size_t column : shown_columns()) {
    if (block.size() > 1 && used + 2 + width(column) > report_width()) {
      text += render_block(block, indent) + "\n";
      block.clear();
    }
    if (block.empty()) {
      block = {0};
      used = indent + width(0);
    }
    if (column == 0) continue;
    block.push_back(column);
    used += 2 + width(column);
  }
  return text + render_block(block, indent);
}

}  // namespace tatr
