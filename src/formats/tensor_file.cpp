#include "formats/tensor_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/error.hpp"
#include "formats/temporary_file.hpp"

namespace tatr {

BinaryFile::BinaryFile(const std::string& path) : path_(path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) throw InputError(path, "there is no such file");
  if (error) throw InputError(path, "cannot be opened: " + error.message());
  if (status.type() == fs::file_type::directory) {
    throw InputError(path, "is a directory; allowed: a file");
  }
  if (status.type() != fs::file_type::regular) throw InputError(path, "is not a regular file");
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw InputError(path, std::string("cannot be opened: ") + std::strerror(errno));
  descriptor_ = std::make_shared<const Descriptor>(descriptor);
  struct stat opened {};
  if (::fstat(descriptor, &opened) != 0) {
    throw InputError(path, std::string("its size cannot be read: ") + std::strerror(errno));
  }
  if (opened.st_size == 0) throw InputError(path, "is empty (0 bytes)");
  size_bytes_ = opened.st_size;
}

BinaryFile::BinaryFile(std::string path, TemporaryFile& bytes, std::string byte_word)
    : path_(std::move(path)),
      byte_word_(std::move(byte_word)),
      descriptor_(bytes.written()),
      size_bytes_(bytes.size_bytes()) {}

BinaryFile BinaryFile::part(std::string path, std::int64_t begin, std::int64_t size_bytes) const {
  BinaryFile result;
  result.path_ = std::move(path);
  result.descriptor_ = descriptor_;
  result.begin_ = begin_ + begin;
  result.size_bytes_ = size_bytes;
  return result;
}

void BinaryFile::read(std::int64_t offset, std::span<std::byte> bytes) const {
  const auto count = static_cast<std::int64_t>(bytes.size());
  if (offset < 0 || offset > size_bytes_ || count > size_bytes_ - offset) {
    throw InputError(at_byte(offset), "truncated: " + std::to_string(count) + " bytes are needed here, the file has " +
                                          std::to_string(size_bytes_));
  }
  for (std::int64_t done = 0; done < count;) {
    const ssize_t got = ::pread(descriptor_->get(), bytes.data() + done, static_cast<std::size_t>(count - done),
                                begin_ + offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw InputError(at_byte(offset), "cannot be read; did the file change meanwhile?");
    done += got;
  }
}

std::string BinaryFile::first_bytes(std::size_t most) const {
  std::string bytes(static_cast<std::size_t>(std::min(static_cast<std::int64_t>(most), size_bytes_)), '\0');
  read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::string BinaryFile::at_byte(std::int64_t offset) const {
  return path_ + ": " + byte_word_ + " " + std::to_string(offset);
}

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

std::string bytes_text(std::int64_t bytes) {
  constexpr int kMebi = 20, kGibi = 30;
  if (bytes >= std::int64_t{1} << kGibi) return std::to_string(bytes >> kGibi) + " GiB";
  if (bytes >= std::int64_t{1} << kMebi) return std::to_string(bytes >> kMebi) + " MiB";
  return std::to_string(bytes) + " bytes";
}

}  // namespace tatr
