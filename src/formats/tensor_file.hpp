// What the readers of all formats share: a file of known size, the place of one tensor in it, limits, and the words in
// which faults are told. Decides nothing about a format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/descriptor.hpp"

namespace tatr {

class TemporaryFile;

/// How much a file may unfold to. What is larger is refused.
struct TensorLimits {
  std::int64_t unpacked_bytes = std::int64_t{64} << 30;  // of what is compressed, all members of an archive together
  std::int64_t line_bytes = std::int64_t{64} << 20;      // of a text file
  std::int64_t json_bytes = std::int64_t{256} << 20;     // of a JSON document, which is read whole
};

/// A regular file opened for reading, or bytes that were made from one. Its size is read once; whatever is asked of it
/// is checked against that first. May be read from many threads.
class BinaryFile {
 public:
  /// Throws InputError if the path is missing, not a regular file, not readable, or empty.
  explicit BinaryFile(const std::string& path);

  /// What was written to `bytes`, which came from the file `path`; `byte_word` is what one is called: "decompressed
  /// byte".
  BinaryFile(std::string path, TemporaryFile& bytes, std::string byte_word);

  /// The bytes from `begin` on as a file of its own. They must lie within this one.
  BinaryFile part(std::string path, std::int64_t begin, std::int64_t size_bytes) const;

  const std::string& path() const { return path_; }
  std::int64_t size_bytes() const { return size_bytes_; }

  /// Fills `bytes` from `offset` on. Throws InputError where the file ends before.
  void read(std::int64_t offset, std::span<std::byte> bytes) const;

  /// The first bytes of the file, at most `most` and fewer where the file is shorter.
  std::string first_bytes(std::size_t most) const;

  /// "file: byte 8", the start of an error message.
  std::string at_byte(std::int64_t offset) const;

 private:
  BinaryFile() = default;

  std::string path_;
  std::string byte_word_ = "byte";
  std::shared_ptr<const Descriptor> descriptor_;
  std::int64_t begin_ = 0;  // of the descriptor's bytes
  std::int64_t size_bytes_ = 0;
};

/// One tensor of a file, in C order. Its bytes are known to lie within the file.
struct TensorEntry {
  std::string name;
  std::string dtype;                // as safetensors writes it: F16, BF16, F32, F64, I64, …
  std::vector<std::int64_t> shape;  // not negative; no dimension is zero unless the tensor is empty
  std::int64_t offset_bytes = 0;    // from the start of the file
  std::int64_t size_bytes = 0;
  std::shared_ptr<BinaryFile> file{};  // whose bytes these are
  bool of_lines = false;               // each index of the first axis is a line of a text file, or a record
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

/// "64 GiB", "100 bytes"
std::string bytes_text(std::int64_t bytes);

}  // namespace tatr
