// Reads CSV: comma-separated, quotes around fields of one line. Decides what a header is (a first line that is not all
// numbers) and what a number is; columns under a header are records of single values (record_table.hpp).
#pragma once

#include <vector>

#include "formats/tensor_file.hpp"

namespace tatr {

/// Under a header, each column of numbers by its name (a nameless one is `column 1`); without, all of it as one unnamed
/// tensor [rows, columns]. In the memory of the longest line. Throws InputError with line and column.
std::vector<TensorEntry> read_csv(const BinaryFile& file, const TensorLimits& limits);

}  // namespace tatr
