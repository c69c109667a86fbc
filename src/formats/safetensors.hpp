// Reads the header of a safetensors file: 8 bytes of length, that many bytes of JSON, then the tensors' bytes. Decides
// what a valid header is, as strictly as the format's own reader does; leaves the tensors' values alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "formats/tensor_file.hpp"

namespace tatr {

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<TensorEntry> tensors;  // by offset
};

/// Checked against the file's size before anything is allocated: the length of the header (at most 100 MB), every key,
/// dtype, shape and offset; tensors cover all bytes after the header, with no gap and no overlap. Throws InputError.
SafetensorsHeader read_safetensors_header(BinaryFile& file);

}  // namespace tatr
