#include "formats/tensor_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "core/error.hpp"

namespace tatr {

BinaryFile::BinaryFile(const std::string& path) : path_(path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) throw InputError(path, "there is no such file");
  if (error) throw InputError(path, "cannot be opened: " + error.message());
  if (status.type() == fs::file_type::directory) {
    throw InputError(path, "is a directory; a trace is one .safetensors or .npy file");
  }
  if (status.type() != fs::file_type::regular) throw InputError(path, "is not a regular file");
  errno = 0;
  stream_.open(path, std::ios::binary);
  if (!stream_) throw InputError(path, std::string("cannot be opened: ") + std::strerror(errno));
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) throw InputError(path, "its size cannot be read: " + error.message());
  if (size == 0) throw InputError(path, "is empty (0 bytes)");
  if (size > static_cast<std::uintmax_t>(std::numeric_limits<std::int64_t>::max())) {
    throw InputError(path, "is larger than 2^63 - 1 bytes");
  }
  size_bytes_ = static_cast<std::int64_t>(size);
}

void BinaryFile::read(std::int64_t offset, std::span<std::byte> bytes) {
  const auto count = static_cast<std::int64_t>(bytes.size());
  if (offset < 0 || offset > size_bytes_ || count > size_bytes_ - offset) {
    throw InputError(at_byte(offset), "truncated: " + std::to_string(count) + " bytes are needed here, the file has " +
                                          std::to_string(size_bytes_));
  }
  stream_.clear();
  stream_.seekg(offset);
  stream_.read(reinterpret_cast<char*>(bytes.data()), count);
  if (stream_.gcount() != count) throw InputError(at_byte(offset), "cannot be read; did the file change meanwhile?");
}

std::string BinaryFile::at_byte(std::int64_t offset) const { return path_ + ": byte " + std::to_string(offset); }

std::int64_t dtype_bits(std::string_view dtype) {
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 22> kBits = {
      {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
       {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
       {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
       {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}}};
  for (const auto& [name, bits] : kBits) {
    if (name == dtype) return bits;
  }
  return 0;
}

bool checked_product(std::span<const std::int64_t> shape, std::int64_t factor, std::int64_t& product) {
  // A zero anywhere makes the product zero, whatever the other dimensions are.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    product = 0;
    return true;
  }
  product = factor;
  for (const std::int64_t dimension : shape) {
    if (__builtin_mul_overflow(product, dimension, &product)) return false;
  }
  return true;
}

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i - 1]);
  return value;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string result = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      result += c;
      continue;
    }
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\x%02x", byte);
    result += escape;
  }
  return result + (text.size() > kLongest ? "…'" : "'");
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string result = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i == 8) return result + ", …]";
    result += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return result + "]";
}

}  // namespace tatr
