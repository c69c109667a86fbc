// gzip and zstd, told by their first bytes: decompresses a file into a temporary one, so that what is in it can be read
// at any place in little memory. Knows nothing of what is in it.
#pragma once

#include <memory>
#include <string>

#include "formats/tensor_file.hpp"

namespace tatr {

struct UnpackedFile {
  std::shared_ptr<BinaryFile> file;
  std::string compression;  // "gzip", "zstd", or empty: the file is not compressed
};

/// Opens a file, decompressed if it is compressed. Throws InputError, with the place in the compressed file, where data
/// are corrupt, cut off, or more than `limits` allow; EnvironmentError where the temporary file cannot be written.
UnpackedFile open_unpacked(const std::string& path, const TensorLimits& limits);

}  // namespace tatr
