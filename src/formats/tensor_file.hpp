// What the readers of safetensors and .npy share: a file of known size, the place of one tensor in it, and the words in
// which faults are told. Decides nothing about a format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tatr {

/// One tensor of a file, in C order. Its bytes are known to lie within the file.
struct TensorEntry {
  std::string name;
  std::string dtype;                // as safetensors writes it: F16, BF16, F32, F64, I64, …
  std::vector<std::int64_t> shape;  // not negative; no dimension is zero unless the tensor is empty
  std::int64_t offset_bytes = 0;    // from the start of the file
  std::int64_t size_bytes = 0;
};

/// A regular file opened for reading. Its size is read once; whatever is asked of it is checked against that first.
class BinaryFile {
 public:
  /// Throws InputError if the path is missing, not a regular file, not readable, or empty.
  explicit BinaryFile(const std::string& path);

  const std::string& path() const { return path_; }
  std::int64_t size_bytes() const { return size_bytes_; }

  /// Fills `bytes` from `offset` on. Throws InputError where the file ends before.
  void read(std::int64_t offset, std::span<std::byte> bytes);

  /// "file: byte 8", the start of an error message.
  std::string at_byte(std::int64_t offset) const;

 private:
  std::string path_;
  std::int64_t size_bytes_ = 0;
  std::ifstream stream_;
};

/// Bits of one element of a safetensors dtype; 0: there is no such dtype.
std::int64_t dtype_bits(std::string_view dtype);

/// True and the product of all dimensions times `factor` in `product`, or false where it passes 2^63 - 1.
bool checked_product(std::span<const std::int64_t> shape, std::int64_t factor, std::int64_t& product);

/// Little-endian unsigned integer of bytes.size() <= 8 bytes.
std::uint64_t little_endian(std::span<const std::byte> bytes);

/// 'text' for an error message: control characters as \xNN, cut after 80 bytes.
std::string in_quotes(std::string_view text);

/// "[16384, 256]"
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace tatr
