// Reads the header of NumPy's .npy format (versions 1 to 3) and writes arrays in it. Only what the program needs:
// numbers that are little-endian or of one byte are read, in C order; int32 and float32 are written.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "formats/tensor_file.hpp"

namespace tatr {

/// True if the file starts with the magic bytes of .npy.
bool is_npy(const BinaryFile& file);

/// The one array of the file, unnamed and without `file`; its dtype is as safetensors writes it. Checks that the data
/// ends where the file does. Throws InputError.
TensorEntry read_npy_header(const BinaryFile& file);

/// Writes an array in C order: first to a temporary name beside `path`, then renamed, so that `path` never holds half
/// of it. data.size() must be the product of `shape`. Throws EnvironmentError with the path and the system's reason.
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const std::int32_t> data);
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const float> data);

}  // namespace tatr
