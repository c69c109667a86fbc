#include "experiment/table_files.hpp"

#include <nlohmann/json.hpp>

#include "report/result_tables.hpp"

namespace tatr {

TableFiles::TableFiles(const TablePaths& paths) {
  if (!paths.csv.empty()) csv_.emplace(paths.csv);
  if (!paths.markdown.empty()) markdown_.emplace(paths.markdown);
}

void TableFiles::reserve(std::size_t bytes) {
  for (std::optional<OutputFile>* file : {&csv_, &markdown_}) {
    if (*file) (*file)->reserve(bytes);
  }
}

void TableFiles::add(std::size_t index, const nlohmann::json& result) {
  Rows& rows = rows_[index];
  if (csv_) rows.csv = csv_rows(result);
  if (markdown_) rows.markdown = markdown_rows(result);
}

void TableFiles::commit() {
  if (csv_) csv_->write(csv_header());
  if (markdown_) markdown_->write(markdown_header());
  for (const auto& [index, rows] : rows_) {
    if (csv_) csv_->write(rows.csv);
    if (markdown_) markdown_->write(rows.markdown);
  }
  if (csv_) csv_->commit();
  if (markdown_) markdown_->commit();
}

}  // namespace tatr
