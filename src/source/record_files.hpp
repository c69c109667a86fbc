// The files that a record of a router lies in: one, a folder of them, or a pattern. Decides what each of several files
// is, a layer, a rank or a step; what they hold is not looked at beyond their headers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/tensor_set.hpp"
#include "options/sources/record_options.hpp"

namespace tatr {

struct RecordFile {
  TensorSet set;
  std::optional<std::int64_t> layer;  // that the file is
  std::int64_t step = 0, rank = 0;
};

struct RecordFiles {
  std::string path;               // as asked for
  std::vector<RecordFile> files;  // by step, then rank, then layer; at least one
  bool by_layer = false, by_step = false, by_rank = false;
};

/// Opens all files of `path`: a file, a folder with files of one kind, or a pattern of names with * in its last part.
/// What each is says `each`, or the word before the number that differs in their names: layer; rank; step, batch or
/// part. What was opened last is kept and given again while the files stay as they are. Throws InputError.
std::shared_ptr<const RecordFiles> open_record(const std::string& path, EachFile each);

}  // namespace tatr
