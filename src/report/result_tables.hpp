// Results as tables for other programs: CSV with every figure, a row for each strategy, tile and layer; Markdown with
// the main ones, a row for each strategy and tile over all layers. Both read JSON results, so that a run and its files
// give the same.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tatr {

/// Names of columns as in the JSON; what is null there is empty here. Lines end in "\n".
std::string csv_header();
std::string csv_rows(const nlohmann::json& result);

std::string markdown_header();
std::string markdown_rows(const nlohmann::json& result);

/// The same table with aligned columns, as wide as it gets: a line for each strategy and tile of all `results`.
std::string aligned_table(const std::vector<nlohmann::json>& results);

}  // namespace tatr
