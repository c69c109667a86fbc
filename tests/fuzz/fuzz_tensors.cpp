// libFuzzer entry for files of arrays: the first byte picks the name's ending, the rest is the file. Any outcome but an
// InputError or arrays that lie within their files and can be read is a fault.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "formats/tensor_set.hpp"

namespace {

constexpr const char* kEndings[] = {".npz", ".npy", ".jsonl", ".json", ".csv", ".index.json", ".safetensors"};
constexpr const char* kPackings[] = {"", ".gz", ".zst"};
constexpr tatr::TensorLimits kLimits{.unpacked_bytes = 1 << 20, .line_bytes = 1 << 16, .json_bytes = 1 << 20};

void expect(bool held, const std::string& what) {
  if (held) return;
  std::fprintf(stderr, "broken promise: %s\n", what.c_str());
  std::abort();
}

void write_file(const std::string& path, const void* data, std::size_t size) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ::write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  ::close(file);
}

/// A folder in memory, where there is one, also for temporary files; with a file that an index can name.
struct Folder {
  std::string path = std::filesystem::exists("/dev/shm") ? "/dev/shm/tatr-fuzz-XXXXXX" : "/tmp/tatr-fuzz-XXXXXX";

  Folder() {
    if (::mkdtemp(path.data()) == nullptr || ::setenv("TMPDIR", path.c_str(), 1) != 0) std::abort();
    const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    const std::string shard = std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header + "x";
    write_file(path + "/s", shard.data(), shard.size());
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

void check(const tatr::TensorSet& set) {
  std::set<std::string> names;
  std::vector<std::byte> bytes(1 << 16);
  for (const tatr::TensorEntry& tensor : set.tensors) {
    expect(names.insert(tensor.name).second, "names are apart: " + tensor.name);
    std::int64_t bits = 0;
    expect(tatr::checked_product(tensor.shape, tatr::dtype_bits(tensor.dtype), bits), "shape");
    expect(tatr::dtype_bits(tensor.dtype) != 0 && bits == 8 * tensor.size_bytes, "size of " + tensor.name);
    for (std::int64_t at = 0; at < tensor.size_bytes;) {
      const std::int64_t count = std::min<std::int64_t>(tensor.size_bytes - at, std::ssize(bytes));
      tensor.file->read(tensor.offset_bytes + at, std::span(bytes).first(static_cast<std::size_t>(count)));
      at += count;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  if (size == 0) return 0;
  const std::string path =
      folder.path + "/t" + kEndings[data[0] % std::size(kEndings)] + kPackings[data[0] / std::size(kEndings) % 3];
  write_file(path, data + 1, size - 1);
  tatr::TensorSet set;
  bool opened = false;
  try {
    set = tatr::open_tensors(path, kLimits);
    opened = true;
  } catch (const tatr::InputError& error) {
    expect(std::string(error.what()).starts_with(folder.path), error.what());
  }
  if (opened) check(set);  // must not throw any more
  ::unlink(path.c_str());
  return 0;
}
