#include "formats/npz.hpp"

#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/error.hpp"
#include "formats/archive_reader.hpp"
#include "formats/foreign.hpp"
#include "formats/npy.hpp"
#include "formats/temporary_file.hpp"

namespace tatr {
namespace {

constexpr std::string_view kSuffix = ".npy";
constexpr std::size_t kMostMembers = 65'536;

std::string place_of(const BinaryFile& file, const std::string& member) {
  return file.path() + ": member " + in_quotes(member);
}

/// Before anything is decompressed, as only all names together tell an archive of another kind.
void check_members(const BinaryFile& file) {
  ArchiveReader reader(file, ArchiveKind::kZip);
  std::unordered_set<std::string> names;
  std::string other;
  while (reader.next()) {
    const std::string& name = reader.member();
    if (name == "data.pkl" || name.ends_with("/data.pkl")) refuse_foreign(file.path(), Foreign::kPyTorch);
    if (!names.insert(name).second) throw InputError(place_of(file, name), "is there twice; allowed: once");
    if (names.size() > kMostMembers) {
      throw InputError(file.path(), "more than " + std::to_string(kMostMembers) + " members in the archive");
    }
    if (other.empty() && !name.ends_with(kSuffix)) other = name;
  }
  if (!other.empty()) throw InputError(place_of(file, other), "is no array; allowed: members NAME.npy, as of .npz");
}

}  // namespace

std::vector<TensorEntry> read_npz(const BinaryFile& file, const TensorLimits& limits) {
  struct Member {
    std::string name;
    std::int64_t begin, size;
  };
  check_members(file);
  TemporaryFile bytes(file.path());
  std::vector<Member> members;
  for (ArchiveReader reader(file, ArchiveKind::kZip); reader.next();) {
    const std::int64_t begin = bytes.size_bytes();
    reader.for_each_block([&](std::span<const std::byte> block) {
      bytes.write(block);
      if (bytes.size_bytes() <= limits.unpacked_bytes) return;
      throw InputError(place_of(file, reader.member()), "the archive decompresses to more than is allowed: at most " +
                                                            bytes_text(limits.unpacked_bytes));
    });
    members.push_back({reader.member(), begin, bytes.size_bytes() - begin});
  }
  const BinaryFile all(file.path(), bytes, "byte");
  std::vector<TensorEntry> tensors;
  for (const auto& [name, begin, size] : members) {
    auto own = std::make_shared<BinaryFile>(all.part(place_of(file, name), begin, size));
    TensorEntry tensor = read_npy_header(*own);
    tensor.name = name.substr(0, name.size() - kSuffix.size());
    tensor.file = std::move(own);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace tatr
