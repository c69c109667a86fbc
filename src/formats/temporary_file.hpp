// Bytes that are made once and then read anywhere: a file without a name in $TMPDIR, or /tmp, so that it is gone with
// its last reader, however the program ends. Knows nothing of what the bytes are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/descriptor.hpp"

namespace tatr {

class TemporaryFile {
 public:
  /// `path` is the file whose contents these are; it is named in errors. Throws EnvironmentError, as all else here.
  explicit TemporaryFile(std::string path);

  void write(std::span<const std::byte> bytes);
  std::int64_t size_bytes() const { return size_bytes_; }

  /// All that was written so far can be read from this one, at offsets from 0.
  std::shared_ptr<const Descriptor> written();

 private:
  void flush();
  [[noreturn]] void fail(const char* doing, int error) const;

  std::string path_, folder_;
  std::shared_ptr<const Descriptor> descriptor_;
  std::vector<std::byte> buffer_;
  std::int64_t size_bytes_ = 0;  // buffer_ included
};

}  // namespace tatr
