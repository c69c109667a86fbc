// Reads the header of a safetensors file: 8 bytes of length, that many bytes of JSON, then the tensors' bytes. Decides
// what a valid header is, as strictly as the format's own reader does; leaves the tensors' values alone.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/tensor_file.hpp"

namespace tatr {

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<TensorEntry> tensors;  // by offset
};

/// Bytes of a file that tell safetensors: the length of the header, then its brace.
inline constexpr std::size_t kHeaderStart = 9;

/// True if the first bytes of a file are those of safetensors. No other format has such, though the length alone may
/// look like one.
bool starts_as_safetensors(std::string_view first_bytes);

/// Checked against the file's size before anything is allocated: the length of the header (at most 100 MB), every key,
/// dtype, shape and offset; tensors cover all bytes after the header, with no gap and no overlap. Throws InputError.
/// The tensors' `file` is left to the caller.
SafetensorsHeader read_safetensors_header(const BinaryFile& file);

}  // namespace tatr
