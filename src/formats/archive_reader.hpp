// libarchive over a BinaryFile: the members of a zip archive, or what a zstd file decompresses to as its one member.
// Decides which kinds of zip are read (members stored or deflated, a directory at the end); every fault in the data is
// an InputError with the place. Knows nothing of what is in a member.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "formats/tensor_file.hpp"

struct archive;
struct archive_entry;

namespace tatr {

enum class ArchiveKind { kZip, kZstd };

class ArchiveReader {
 public:
  /// `file` must outlive it.
  ArchiveReader(const BinaryFile& file, ArchiveKind kind);
  ~ArchiveReader();
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  /// Goes to the next member; false where there is none.
  bool next();

  const std::string& member() const { return member_; }  // its name

  /// The member's bytes in order, checked against its checksum at the end.
  void for_each_block(const std::function<void(std::span<const std::byte>)>& visit);

 private:
  struct Source;
  [[noreturn]] void fail() const;
  void check_method() const;

  std::unique_ptr<Source> source_;
  archive* archive_ = nullptr;
  archive_entry* entry_ = nullptr;
  std::string member_;
};

}  // namespace tatr
