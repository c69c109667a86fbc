#include "formats/csv.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/error.hpp"
#include "formats/line_reader.hpp"
#include "formats/number_spool.hpp"
#include "formats/record_table.hpp"

namespace tatr {
namespace {

std::string column_place(const LineReader& lines, std::size_t column) {
  return lines.place() + ", column " + std::to_string(column + 1);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

/// Cuts a line at its commas into `fields`, quotes taken off. `fields` keeps its memory from line to line.
void split(std::string_view line, const LineReader& lines, std::vector<std::string>& fields) {
  std::size_t used = 0;
  for (std::size_t at = 0;; ++at) {
    if (used == fields.size()) fields.emplace_back();
    std::string& field = fields[used++];
    field.clear();
    const std::size_t first = std::min(line.find_first_not_of(" \t", at), line.size());
    if (first == line.size() || line[first] != '"') {
      const std::size_t comma = std::min(line.find(',', at), line.size());
      field = trimmed(line.substr(at, comma - at));
      at = comma;
    } else {
      for (at = first + 1;; ++at) {
        const std::size_t quote = line.find('"', at);
        if (quote == std::string_view::npos) {
          throw InputError(column_place(lines, used - 1), "a quote without its end; allowed: fields within one line");
        }
        field += line.substr(at, quote - at);
        at = quote + 1;
        if (at >= line.size() || line[at] != '"') break;
        field += '"';  // written twice
      }
      const std::size_t end = std::min(line.find_first_not_of(" \t", at), line.size());
      if (end != line.size() && line[end] != ',') {
        throw InputError(column_place(lines, used - 1), "text after a quote; allowed: a comma");
      }
      at = end;
    }
    if (at == line.size()) break;
  }
  fields.resize(used);
}

enum class NumberText { kNumber, kText, kTooLarge };

/// Puts what a field says into `numbers`, if it is a number.
NumberText add_number(std::string_view field, Numbers& numbers) {
  if (field.starts_with('+') && !field.starts_with("+-")) field.remove_prefix(1);
  const char* end = field.data() + field.size();
  std::int64_t whole = 0;
  if (const auto [at, error] = std::from_chars(field.data(), end, whole); error == std::errc() && at == end) {
    numbers.add(whole);
    return NumberText::kNumber;
  }
  double value = 0;
  const auto [at, error] = std::from_chars(field.data(), end, value);
  if (at != end || error == std::errc::invalid_argument) return NumberText::kText;
  if (error != std::errc()) return NumberText::kTooLarge;
  numbers.add(value);
  return NumberText::kNumber;
}

[[noreturn]] void refuse_size(const std::string& place, const std::string& field) {
  throw InputError(place, in_quotes(field) + "; allowed: numbers that a double can hold");
}

void check_count(const LineReader& lines, std::size_t count, std::size_t expected) {
  if (count == expected) return;
  throw InputError(lines.place(),
                   std::to_string(count) + " columns; allowed: " + std::to_string(expected) + ", as in the first line");
}

/// The whole file as one tensor; `fields` are those of the first line.
std::vector<TensorEntry> read_matrix(const BinaryFile& file, LineReader& lines, std::vector<std::string>& fields) {
  const auto columns = static_cast<std::int64_t>(fields.size());
  NumberSpool spool(file.path());
  const std::size_t all = *spool.add_column();
  std::int64_t rows = 0;
  std::string_view line;
  do {
    if (rows != 0) split(line, lines, fields);
    check_count(lines, fields.size(), static_cast<std::size_t>(columns));
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const NumberText kind = add_number(fields[i], spool.column(all));
      if (kind == NumberText::kTooLarge) refuse_size(column_place(lines, i), fields[i]);
      if (kind == NumberText::kNumber) continue;
      throw InputError(column_place(lines, i),
                       in_quotes(fields[i]) + "; allowed: numbers, as the first line is no header");
    }
    spool.added(fields.size());
    ++rows;
  } while (lines.next(line));
  std::vector<TensorEntry> tensors = spool.finish({all});
  tensors[0].shape = {rows, columns};
  tensors[0].of_lines = true;
  return tensors;
}

/// The fields of records with the names of the header.
std::vector<RecordField> named_fields(const LineReader& lines, const std::vector<std::string>& header) {
  if (header.size() > NumberSpool::kMostColumns) {
    throw InputError(lines.place(), "more than " + std::to_string(NumberSpool::kMostColumns) + " columns");
  }
  std::unordered_set<std::string> names;
  std::vector<RecordField> fields(header.size());
  for (std::size_t i = 0; i < header.size(); ++i) {
    fields[i].name = header[i].empty() ? "column " + std::to_string(i + 1) : header[i];
    if (names.insert(fields[i].name).second) continue;
    throw InputError(column_place(lines, i), "name " + in_quotes(fields[i].name) + " for the second time");
  }
  return fields;
}

std::vector<TensorEntry> read_columns(const BinaryFile& file, LineReader& lines, std::vector<std::string>& texts) {
  std::vector<RecordField> fields = named_fields(lines, texts);
  RecordTable table(file.path());
  bool any = false;
  for (std::string_view line; lines.next(line); any = true) {
    split(line, lines, texts);
    check_count(lines, texts.size(), fields.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      RecordField& field = fields[i];
      field.numbers.reset();
      const NumberText kind = add_number(texts[i], field.numbers);
      if (kind == NumberText::kTooLarge) refuse_size(column_place(lines, i), texts[i]);
      field.kind = kind == NumberText::kNumber ? RecordField::Kind::kNumber
                   : texts[i].empty()          ? RecordField::Kind::kNull
                                               : RecordField::Kind::kText;
      field.text = texts[i];
    }
    table.add(fields, lines.place());
  }
  if (!any) throw InputError(file.path(), "has a header alone; allowed: lines of numbers below it");
  return table.finish();
}

bool are_numbers(const std::vector<std::string>& fields) {
  Numbers scratch;
  return std::ranges::all_of(fields,
                             [&](const std::string& field) { return add_number(field, scratch) != NumberText::kText; });
}

}  // namespace

std::vector<TensorEntry> read_csv(const BinaryFile& file, const TensorLimits& limits) {
  LineReader lines(file, limits);
  std::string_view line;
  if (!lines.next(line)) throw InputError(file.path(), "has no lines; allowed: lines of numbers");
  std::vector<std::string> fields;
  split(line, lines, fields);
  return are_numbers(fields) ? read_matrix(file, lines, fields) : read_columns(file, lines, fields);
}

}  // namespace tatr
