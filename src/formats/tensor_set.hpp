// The named arrays of a file, whatever its format. Decides which format a file is of: by its first bytes where they
// tell, by its name where they do not, as of text. Knows nothing of what arrays stand for.
//
//   safetensors           each tensor
//   NAME.index.json       of sharded safetensors: the tensors of all its files
//   .npy                  one unnamed array
//   .npz                  each member
//   .jsonl, .ndjson       an object on each line: each field (formats/record_table.hpp says how lines are put together)
//   .json                 nested lists of numbers: one unnamed array. An object of such lists: each key, and what else
//   is
//                         in it as metadata. A list of objects: as lines of .jsonl
//   .csv                  each column that has a name, or one unnamed array [rows, columns]
//   .gz, .zst             behind any of these names
//
// Numbers of text are I64 where all of an array are whole numbers within its range, else F64; `null` and an empty field
// are NaN, true and false 1 and 0.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/tensor_file.hpp"

namespace tatr {

/// The ending by which a name tells its format, without what says that it is compressed: ".npy"; empty: it tells none.
std::string_view format_ending(const std::string& path);

struct TensorSet {
  std::string path;                             // as given
  std::string format;                           // for people: ".npy", "JSON lines, gzip"
  std::map<std::string, std::string> metadata;  // of safetensors, and the scalars of a JSON document
  std::vector<TensorEntry> tensors;             // in the file's order, each with its `file`; the name may be empty
};

/// Reads no more of a binary file than its header; text and what is compressed are read whole, into a temporary file.
/// Throws InputError with the path, the place and what is allowed, and EnvironmentError where the disk is full.
TensorSet open_tensors(const std::string& path, const TensorLimits& limits = {});

}  // namespace tatr
