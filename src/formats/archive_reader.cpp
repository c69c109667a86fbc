#include "formats/archive_reader.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <cstdio>
#include <exception>
#include <limits>
#include <new>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace tatr {
namespace {

/// libarchive gives names in the characters of the locale: those of UTF-8 while this lives, in this thread.
class Utf8Names {
 public:
  Utf8Names() : utf8_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (utf8_ != nullptr) before_ = ::uselocale(utf8_);
  }
  ~Utf8Names() {
    if (utf8_ == nullptr) return;
    ::uselocale(before_);
    ::freelocale(utf8_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t utf8_, before_ = nullptr;
};

}  // namespace

/// What libarchive's callbacks are given.
struct ArchiveReader::Source {
  const BinaryFile& file;
  const ArchiveKind kind;
  std::int64_t at = 0;
  std::vector<std::byte> block = std::vector<std::byte>(1 << 18);
  std::exception_ptr failed{};  // what must not go through C

  static la_ssize_t read(archive* reader, void* self, const void** bytes) noexcept {
    auto& source = *static_cast<Source*>(self);
    try {
      const std::int64_t count =
          std::min(static_cast<std::int64_t>(source.block.size()), source.file.size_bytes() - source.at);
      source.file.read(source.at, std::span(source.block).first(static_cast<std::size_t>(count)));
      source.at += count;
      *bytes = source.block.data();
      return count;
    } catch (...) {
      source.failed = std::current_exception();
      archive_set_error(reader, -1, "cannot be read");
      return ARCHIVE_FATAL;
    }
  }

  static la_int64_t seek(archive*, void* self, la_int64_t offset, int whence) noexcept {
    auto& source = *static_cast<Source*>(self);
    std::int64_t to = whence == SEEK_CUR ? source.at : whence == SEEK_END ? source.file.size_bytes() : 0;
    if (__builtin_add_overflow(to, offset, &to) || to < 0 || to > source.file.size_bytes()) return ARCHIVE_FATAL;
    return source.at = to;
  }

  static la_int64_t skip(archive*, void* self, la_int64_t count) noexcept {
    auto& source = *static_cast<Source*>(self);
    const std::int64_t skipped = std::min<std::int64_t>(count, source.file.size_bytes() - source.at);
    source.at += skipped;
    return skipped;
  }
};

ArchiveReader::ArchiveReader(const BinaryFile& file, ArchiveKind kind) : source_(new Source{file, kind}) {
  archive_ = archive_read_new();
  if (archive_ == nullptr) throw std::bad_alloc();
  if (kind == ArchiveKind::kZip) {
    archive_read_support_format_zip_seekable(archive_);
  } else {
    archive_read_support_filter_zstd(archive_);
    archive_read_support_format_raw(archive_);
    archive_read_support_format_empty(archive_);
  }
  archive_read_set_read_callback(archive_, Source::read);
  archive_read_set_seek_callback(archive_, Source::seek);
  archive_read_set_skip_callback(archive_, Source::skip);
  archive_read_set_callback_data(archive_, source_.get());
  if (archive_read_open1(archive_) == ARCHIVE_OK) return;
  try {
    fail();
  } catch (...) {
    archive_read_free(archive_);
    throw;
  }
}

ArchiveReader::~ArchiveReader() { archive_read_free(archive_); }

bool ArchiveReader::next() {
  member_.clear();
  const Utf8Names names;
  const int result = archive_read_next_header(archive_, &entry_);
  if (result == ARCHIVE_EOF) return false;
  if (result < ARCHIVE_WARN) fail();
  if (source_->kind == ArchiveKind::kZstd) return true;
  const char* name = archive_entry_pathname(entry_);
  if (name == nullptr)
    throw InputError(source_->file.path(), "a member of the zip archive has no name that can be read");
  member_ = name;
  check_method();
  return true;
}

void ArchiveReader::check_method() const {
  const std::string_view format = archive_format_name(archive_);  // "ZIP 2.0 (deflation)"
  if (archive_entry_is_encrypted(entry_) == 0 &&
      (format.ends_with("(uncompressed)") || format.ends_with("(deflation)"))) {
    return;
  }
  throw InputError(source_->file.path() + ": member " + in_quotes(member_),
                   (archive_entry_is_encrypted(entry_) != 0 ? "encrypted" : in_quotes(format)) +
                       "; allowed: members that are stored or deflated");
}

void ArchiveReader::for_each_block(const std::function<void(std::span<const std::byte>)>& visit) {
  for (std::int64_t at = 0;;) {
    const void* bytes = nullptr;
    std::size_t count = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(archive_, &bytes, &count, &offset);
    if (result == ARCHIVE_EOF) return;
    if (result != ARCHIVE_OK || offset != at) fail();
    at += static_cast<std::int64_t>(count);
    visit({static_cast<const std::byte*>(bytes), count});
  }
}

void ArchiveReader::fail() const {
  if (source_->failed) std::rethrow_exception(source_->failed);
  const char* why = archive_error_string(archive_);
  const bool zip = source_->kind == ArchiveKind::kZip;
  const std::string place = member_.empty() ? source_->file.at_byte(zip ? 0 : archive_filter_bytes(archive_, -1))
                                            : source_->file.path() + ": member " + in_quotes(member_);
  if (why == nullptr || std::string_view(why) == "Unrecognized archive format") {
    why = zip ? "it has no members, or no directory of them at its end" : "they end too early";
  }
  throw InputError(place, std::string("truncated or corrupt ") + (zip ? "zip" : "zstd") + " data: " + why);
}

}  // namespace tatr
