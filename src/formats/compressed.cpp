#include "formats/compressed.hpp"

#include <zlib.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "formats/archive_reader.hpp"
#include "formats/safetensors.hpp"
#include "formats/temporary_file.hpp"

namespace tatr {
namespace {

constexpr std::size_t kBlockBytes = 1 << 18;
constexpr std::string_view kGzipMagic = "\x1f\x8b", kZstdMagic = "\x28\xb5\x2f\xfd";

void check_limit(const BinaryFile& file, const TemporaryFile& out, const TensorLimits& limits) {
  if (out.size_bytes() <= limits.unpacked_bytes) return;
  throw InputError(file.path(), "decompresses to more than is allowed: at most " + bytes_text(limits.unpacked_bytes));
}

/// zlib's own state, from the first byte of a member to the last. zlib, as libarchive leaves gzip's checksums unread.
class Inflater {
 public:
  explicit Inflater(const BinaryFile& file) : file_(file) {
    constexpr int kGzipWrapper = 16;
    if (inflateInit2(&stream_, MAX_WBITS + kGzipWrapper) != Z_OK) throw EnvironmentError("zlib cannot be started");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// The next bytes, into `out`: how many, 0 at the end of the file. A file may hold many members, one after another.
  std::size_t next(std::vector<std::byte>& out) {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && !refill()) {
        if (!between_members_) throw InputError(place(), "truncated gzip data: the file ends before they do");
        break;
      }
      if (between_members_) inflateReset(&stream_);
      const int result = inflate(&stream_, Z_NO_FLUSH);
      between_members_ = result == Z_STREAM_END;
      if (result == Z_MEM_ERROR) throw EnvironmentError(file_.path() + ": no memory to decompress it");
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        throw InputError(place(), std::string("corrupt gzip data: ") + (stream_.msg != nullptr ? stream_.msg : "odd"));
      }
    }
    return out.size() - stream_.avail_out;
  }

 private:
  bool refill() {
    const auto count = std::min(static_cast<std::int64_t>(in_.size()), file_.size_bytes() - taken_);
    if (count == 0) return false;
    file_.read(taken_, std::span(in_).first(static_cast<std::size_t>(count)));
    taken_ += count;
    stream_.next_in = reinterpret_cast<Bytef*>(in_.data());
    stream_.avail_in = static_cast<uInt>(count);
    return true;
  }

  std::string place() const { return file_.at_byte(taken_ - stream_.avail_in); }

  const BinaryFile& file_;
  std::vector<std::byte> in_ = std::vector<std::byte>(kBlockBytes);
  std::int64_t taken_ = 0;
  bool between_members_ = false;
  z_stream stream_{};
};

void unpack_gzip(const BinaryFile& file, TemporaryFile& out, const TensorLimits& limits) {
  Inflater inflater(file);
  std::vector<std::byte> block(kBlockBytes);
  while (const std::size_t count = inflater.next(block)) {
    out.write(std::span(block).first(count));
    check_limit(file, out, limits);
  }
}

void unpack_zstd(const BinaryFile& file, TemporaryFile& out, const TensorLimits& limits) {
  ArchiveReader reader(file, ArchiveKind::kZstd);
  if (!reader.next()) return;  // nothing in it
  reader.for_each_block([&](std::span<const std::byte> block) {
    out.write(block);
    check_limit(file, out, limits);
  });
}

}  // namespace

UnpackedFile open_unpacked(const std::string& path, const TensorLimits& limits) {
  auto packed = std::make_shared<BinaryFile>(path);
  const std::string first = packed->first_bytes(kHeaderStart);
  if (starts_as_safetensors(first)) return {std::move(packed), ""};  // whose length of the header may look like gzip
  const bool gzip = first.starts_with(kGzipMagic);
  if (!gzip && !first.starts_with(kZstdMagic)) return {std::move(packed), ""};
  TemporaryFile bytes(path);
  (gzip ? unpack_gzip : unpack_zstd)(*packed, bytes, limits);
  if (bytes.size_bytes() == 0) throw InputError(path, "is empty once decompressed (0 bytes)");
  return {std::make_shared<BinaryFile>(path, bytes, "decompressed byte"), gzip ? "gzip" : "zstd"};
}

}  // namespace tatr
