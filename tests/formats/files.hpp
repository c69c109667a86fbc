// Files that tests of formats write byte by byte, and what they read from them.
#pragma once

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "core/error.hpp"
#include "formats/tensor_set.hpp"

namespace tatr::test {

/// A folder of its own for each test, removed at the end.
struct Folder {
  Folder() {
    static int count = 0;
    path = std::filesystem::temp_directory_path() /
           ("tatr-formats-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directory(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
    return (path / name).string();
  }

  std::filesystem::path path;
};

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline std::string little_endian_bytes(std::uint64_t value, std::size_t size) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value).substr(0, size);
}

inline std::string npy(const std::string& descr, const std::string& shape, const std::string& data) {
  const std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + "}";
  return "\x93NUMPY\x01" + std::string(1, '\0') + little_endian_bytes(header.size(), 2) + header + data;
}

inline std::string safetensors(const std::string& header, const std::string& data) {
  return little_endian_bytes(header.size(), 8) + header + data;
}

/// One tensor of a header of safetensors.
inline std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, std::size_t begin,
                         std::size_t end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

/// The elements of a tensor, read through its file.
template <class T>
std::vector<T> values_of(const TensorEntry& tensor) {
  std::vector<T> values(static_cast<std::size_t>(tensor.size_bytes) / sizeof(T));
  REQUIRE(tensor.size_bytes == static_cast<std::int64_t>(values.size() * sizeof(T)));
  tensor.file->read(tensor.offset_bytes, std::as_writable_bytes(std::span(values)));
  return values;
}

/// The one tensor of this name.
inline TensorEntry tensor_of(const TensorSet& set, const std::string& name) {
  std::vector<TensorEntry> found;
  for (const TensorEntry& tensor : set.tensors) {
    if (tensor.name == name) found.push_back(tensor);
  }
  CAPTURE(name);
  REQUIRE(found.size() == 1);
  return found[0];
}

inline std::vector<std::string> names_of(const TensorSet& set) {
  std::vector<std::string> names;
  for (const TensorEntry& tensor : set.tensors) names.push_back(tensor.name);
  return names;
}

/// What is wrong with a file, without its path; "" if nothing is.
inline std::string fault(const std::string& path, const TensorLimits& limits = {}) {
  try {
    for (const TensorEntry& tensor : open_tensors(path, limits).tensors) values_of<char>(tensor);
  } catch (const InputError& error) {
    const std::string text = error.what();
    CAPTURE(text);
    REQUIRE(text.starts_with(path + ":"));
    return text.substr(path.size());
  }
  return "";
}

#define CHECK_HAS(text, part)                     \
  do {                                            \
    const std::string text_ = (text);             \
    CAPTURE(text_);                               \
    CHECK(text_.find(part) != std::string::npos); \
  } while (false)

}  // namespace tatr::test
