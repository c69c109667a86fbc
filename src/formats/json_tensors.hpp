// The arrays of a JSON document and of JSON lines. Decides what a tensor of them is, with record_table.hpp for records.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "formats/tensor_file.hpp"

namespace tatr {

/// One object on each line: records. In the memory of the longest line. Throws InputError.
std::vector<TensorEntry> read_json_lines(const BinaryFile& file, const TensorLimits& limits);

/// Nested lists of numbers, alone (one tensor without a name) or as the values of an object, whose single values become
/// metadata; or a list of objects: records. Throws InputError.
std::vector<TensorEntry> read_json_tensors(const BinaryFile& file, const TensorLimits& limits,
                                           std::map<std::string, std::string>& metadata);

}  // namespace tatr
