// Binary formats, what is compressed, and files of other kinds. Archives are put together here, byte by byte.
#include "formats/tensor_set.hpp"

#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>

#include "formats/files.hpp"

using namespace tatr;
using namespace tatr::test;

namespace {

using namespace std::string_literals;

std::uint32_t crc32_of(std::string_view bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

struct Member {
  std::string name, data;
  int method = 0;  // 0 stored, 8 deflated, as one block that is not compressed
  std::uint32_t spoil = 0;
  bool utf8 = false;  // says that the name is
};

std::string zip(const std::vector<Member>& members) {
  std::string out, directory;
  for (const Member& member : members) {
    const std::string length = little_endian_bytes(member.data.size(), 2);
    const std::string packed =
        member.method == 0 ? member.data : "\x01" + length + little_endian_bytes(~member.data.size(), 2) + member.data;
    const std::string common = "\x14\0"s + little_endian_bytes(member.utf8 ? 0x800 : 0, 2) +
                               little_endian_bytes(static_cast<std::uint64_t>(member.method), 2) + "\0\0\0\0"s +
                               little_endian_bytes(crc32_of(member.data) ^ member.spoil, 4) +
                               little_endian_bytes(packed.size(), 4) + little_endian_bytes(member.data.size(), 4) +
                               little_endian_bytes(member.name.size(), 2) + "\0\0"s;
    directory += "PK\1\2\x14\0"s + common + "\0\0\0\0\0\0\0\0\0\0"s + little_endian_bytes(out.size(), 4) + member.name;
    out += "PK\3\4"s + common + member.name + packed;
  }
  const std::string count = little_endian_bytes(members.size(), 2);
  return out + directory + "PK\5\6\0\0\0\0"s + count + count + little_endian_bytes(directory.size(), 4) +
         little_endian_bytes(out.size(), 4) + "\0\0"s;
}

// "1,2\n3,4\n" as Python's gzip, the zstd program with a checksum, and bzip2 have it.
const std::string kGzip =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x33\xd4\x31\xe2\x32\xd6\x31\xe1\x02\x00\x47\x93\x6c\xaf\x08\x00\x00\x00"s;
const std::string kZstd = "\x28\xb5\x2f\xfd\x04\x58\x41\x00\x00\x31\x2c\x32\x0a\x33\x2c\x34\x0a\x0e\x73\xba\x36"s;

// a.npy, int16 [3] of 1, 2, 3, as Python's zipfile deflates it.
const std::string kDeflated =
    "\x50\x4b\x03\x04\x14\x00\x00\x00\x08\x00\x00\x00\x21\x00\xfa\xd4\xb9\x67\x47\x00\x00\x00\x4a\x00\x00\x00\x05\x00"
    "\x00\x00\x61\x2e\x6e\x70\x79\x9b\xec\x17\xea\x1b\x10\xc9\xc8\x60\xc5\x50\xad\x9e\x92\x5a\x9c\x5c\xa4\x6e\xa5\xa0"
    "\x6e\x93\x69\xa4\xae\xa3\xa0\x9e\x96\x5f\x54\x52\x94\x98\x17\x9f\x5f\x94\x92\x0a\x12\x77\x4b\xcc\x29\x4e\x05\x8a"
    "\x17\x67\x24\x16\xa4\x02\xf9\x1a\xc6\x3a\x9a\x3a\x0a\xb5\x5c\x8c\x0c\x4c\x0c\xcc\x0c\x00\x50\x4b\x01\x02\x14\x03"
    "\x14\x00\x00\x00\x08\x00\x00\x00\x21\x00\xfa\xd4\xb9\x67\x47\x00\x00\x00\x4a\x00\x00\x00\x05\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00\x61\x2e\x6e\x70\x79\x50\x4b\x05\x06\x00\x00\x00\x00\x01\x00\x01"
    "\x00\x33\x00\x00\x00\x6a\x00\x00\x00\x00\x00"s;

const std::string kIds = npy("<i2", "(2, 2)", bytes_of(std::vector<std::int16_t>{1, -2, 3, 4}));
const std::string kScores = npy("<f4", "(3,)", bytes_of(std::vector<float>{0.5f, 1, 2}));

using Shape = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("safetensors are told by their first bytes, whatever the name", "[formats]") {
  const Folder folder;
  const std::string bytes = safetensors(R"({"__metadata__":{"experts":"8"},)" + entry("b", "BF16", "[1,2]", 4, 8) +
                                            "," + entry("a", "F32", "[1]", 0, 4) + "}",
                                        "\0\0\x80\x3f\x80\x3f\0\x40"s);
  for (const char* name : {"t", "t.safetensors", "t.json", "t.csv"}) {
    const TensorSet set = open_tensors(folder.write(name, bytes));
    CHECK(set.format == "safetensors");
    CHECK(set.path == (folder.path / name).string());
    CHECK(set.metadata == std::map<std::string, std::string>{{"experts", "8"}});
    CHECK(names_of(set) == std::vector<std::string>{"a", "b"});
    CHECK(values_of<float>(set.tensors[0]) == std::vector<float>{1});
    CHECK(values_of<std::uint16_t>(set.tensors[1]) == std::vector<std::uint16_t>{0x3f80, 0x4000});
    CHECK(set.tensors[1].dtype == "BF16");
    CHECK(!set.tensors[1].of_lines);
  }
  // A header whose length reads as the start of gzip, 0x88b1f.
  const std::string long_header = "{" + entry("a", "U8", "[1]", 0, 1) + "}";
  const std::string padded = long_header + std::string(0x88b1f - long_header.size(), ' ');
  CHECK(open_tensors(folder.write("long", safetensors(padded, "x"))).format == "safetensors");
  CHECK_HAS(fault(folder.write("t.safetensors", "abc")), "byte 0: truncated: 8 bytes are needed");
}

TEST_CASE(".npy of every type that is read", "[formats]") {
  const Folder folder;
  const std::vector<std::pair<std::string, std::string>> types = {
      {"<f2", "F16"}, {"<f4", "F32"}, {"<f8", "F64"}, {"|i1", "I8"},  {"<i2", "I16"}, {"<i4", "I32"},
      {"<i8", "I64"}, {"|u1", "U8"},  {"<u2", "U16"}, {"<u4", "U32"}, {"<u8", "U64"}, {"|b1", "BOOL"}};
  for (const auto& [descr, dtype] : types) {
    const auto size = static_cast<std::size_t>(descr[2] - '0');
    const TensorSet set = open_tensors(folder.write("a", npy(descr, "(1, 3)", std::string(3 * size, '\1'))));
    CHECK(set.format == ".npy");
    REQUIRE(set.tensors.size() == 1);
    CHECK(set.tensors[0].name.empty());
    CHECK(set.tensors[0].dtype == dtype);
    CHECK(set.tensors[0].shape == Shape{1, 3});
    CHECK(values_of<char>(set.tensors[0]) == std::vector<char>(3 * size, '\1'));
  }
  const auto refused = [&](const std::string& descr) { return fault(folder.write("a.npy", npy(descr, "(1,)", ""))); };
  CHECK_HAS(refused(">f4"), ": dtype '>f4', which is big-endian; allowed: little-endian '<f2'");
  CHECK_HAS(refused("|V2"), "dtype '|V2', as bfloat16 of ml_dtypes is written");
  CHECK_HAS(refused("<V2"), "as bfloat16 of ml_dtypes is written");
  CHECK_HAS(refused("|O"), "dtype '|O', Python objects, which are pickled");
  CHECK_HAS(refused("<c8"), "dtype '<c8'; allowed");
  CHECK_HAS(fault(folder.write("a.npy", "x")), "byte 0: not an .npy file");
}

TEST_CASE(".npz: stored and deflated members are arrays by name", "[formats]") {
  const Folder folder;
  for (const int method : {0, 8}) {
    const TensorSet set =
        open_tensors(folder.write("a", zip({{"ids.npy", kIds, method}, {"a/b.npy", kScores, method}})));
    CHECK(set.format == ".npz");
    CHECK(names_of(set) == std::vector<std::string>{"ids", "a/b"});
    CHECK(set.tensors[0].shape == Shape{2, 2});
    CHECK(values_of<std::int16_t>(set.tensors[0]) == std::vector<std::int16_t>{1, -2, 3, 4});
    CHECK(values_of<float>(set.tensors[1]) == std::vector<float>{0.5f, 1, 2});
  }
  const TensorSet deflated = open_tensors(folder.write("a.npz", kDeflated));
  CHECK(values_of<std::int16_t>(tensor_of(deflated, "a")) == std::vector<std::int16_t>{1, 2, 3});
}

TEST_CASE("names in an archive are UTF-8", "[formats]") {
  const Folder folder;
  for (const bool said : {false, true}) {
    const TensorSet set = open_tensors(folder.write("a.npz", zip({{"\u00e9.npy", kIds, 0, 0, said}})));
    CHECK(names_of(set) == std::vector<std::string>{"\u00e9"});
  }
  CHECK_HAS(fault(folder.write("a.npz", zip({{"\xe9.npy", kIds}}))),
            " of an array is not UTF-8; allowed: names in UTF-8");
}

TEST_CASE(".npz that are broken or no arrays are refused with the member", "[formats]") {
  const Folder folder;
  const auto refused = [&](const std::vector<Member>& members) { return fault(folder.write("a.npz", zip(members))); };
  CHECK_HAS(refused({{"ids.npy", kIds}, {"notes.txt", "3"}}),
            ": member 'notes.txt': is no array; allowed: members NAME.npy");
  CHECK_HAS(refused({{"ids.npy", kIds}, {"ids.npy", kIds}}), ": member 'ids.npy': is there twice");
  CHECK_HAS(refused({{"ids.npy", kIds, 0, 1}}), ": member 'ids.npy': truncated or corrupt zip data: ");
  CHECK_HAS(refused({{"ids.npy", kIds, 8, 1}}), ": member 'ids.npy': truncated or corrupt zip data: ");
  CHECK_HAS(refused({{"ids.npy", kIds, 12}}), "allowed: members that are stored or deflated");
  CHECK_HAS(refused({{"o.npy", npy("|O", "(1,)", "x")}}), ": member 'o.npy': dtype '|O', Python objects");
  CHECK_HAS(refused({{"o.npy", kIds + "x"}}), ": member 'o.npy': byte ");
  CHECK_HAS(refused({{"o.npy", ""}}), ": member 'o.npy': byte 0: not an .npy file");
  CHECK_HAS(refused({{"archive/version", "3"}, {"archive/data.pkl", "x"}}),
            ": is a PyTorch file, which scripts/convert_trace.py ");
  const std::string whole = zip({{"ids.npy", kIds}});
  CHECK_HAS(fault(folder.write("a.npz", whole.substr(0, whole.size() - 30))),
            ": byte 0: truncated or corrupt zip data: ");
  CHECK_HAS(fault(folder.write("a.npz", "abc")), "zip data");
  CHECK_HAS(refused({}), "zip data: it has no members");
  TensorLimits limits;
  limits.unpacked_bytes = 200;
  const std::string path = folder.write("a.npz", zip({{"a.npy", kIds}, {"b.npy", kIds}, {"c.npy", kIds}}));
  CHECK_HAS(fault(path, limits),
            ": member 'c.npy': the archive decompresses to more than is allowed: at most 200 bytes");
}

TEST_CASE("gzip and zstd are told by their first bytes", "[formats]") {
  const Folder folder;
  for (const auto& [name, bytes, format] : {std::tuple{"a.csv.gz", kGzip, "CSV, gzip"},
                                            {"a.csv.zst", kZstd, "CSV, zstd"},
                                            {"a.csv", kGzip, "CSV, gzip"},
                                            {"A.CSV.GZ", kZstd, "CSV, zstd"}}) {
    const TensorSet set = open_tensors(folder.write(name, bytes));
    CHECK(set.format == format);
    CHECK(set.tensors[0].shape == Shape{2, 2});
    CHECK(values_of<std::int64_t>(set.tensors[0]) == std::vector<std::int64_t>{1, 2, 3, 4});
  }
  const TensorSet twice = open_tensors(folder.write("a.csv.gz", kGzip + kGzip));  // two members
  CHECK(twice.tensors[0].shape == Shape{4, 2});
  CHECK(open_tensors(folder.write("a.csv.zst", kZstd + kZstd)).tensors[0].shape == Shape{4, 2});
  CHECK(open_tensors(folder.write("a.csv.gz", "5,6\n")).format == "CSV");  // not compressed, whatever the name
}

TEST_CASE("what is compressed and broken is refused with the place", "[formats]") {
  const Folder folder;
  const auto refused = [&](const std::string& bytes, const TensorLimits& limits = {}) {
    return fault(folder.write("a.csv.gz", bytes), limits);
  };
  const auto spoiled = [](std::string bytes, std::size_t from_end) {
    bytes[bytes.size() - from_end] ^= 1;
    return bytes;
  };
  for (std::size_t size = 2; size < kGzip.size(); ++size) {
    CHECK_HAS(refused(kGzip.substr(0, size)), ": byte "s + std::to_string(size) + ": truncated gzip data");
  }
  CHECK_HAS(refused(spoiled(kGzip, 5)), "corrupt gzip data: incorrect data check");
  CHECK_HAS(refused(spoiled(kGzip, 1)), "corrupt gzip data: incorrect length check");
  CHECK_HAS(refused(kGzip + "junk"), ": byte 30: corrupt gzip data: incorrect header check");
  for (std::size_t size = 4; size < kZstd.size(); ++size) CHECK_HAS(refused(kZstd.substr(0, size)), "zstd data: ");
  CHECK_HAS(refused(spoiled(kZstd, 1)), "truncated or corrupt zstd data: ");
  CHECK_HAS(refused(kZstd + "junk"), "zstd data: ");
  TensorLimits limits;
  limits.unpacked_bytes = 7;
  CHECK_HAS(refused(kGzip, limits), ": decompresses to more than is allowed: at most 7 bytes");
  CHECK_HAS(refused(kZstd, limits), ": decompresses to more than is allowed: at most 7 bytes");
  const std::string empty_gzip = "\x1f\x8b\x08\0\0\0\0\0\x02\x03\x03\0\0\0\0\0\0\0\0\0"s;
  CHECK_HAS(refused(empty_gzip), ": is empty once decompressed (0 bytes)");
  CHECK_HAS(refused("\x28\xb5\x2f\xfd\x20\0\1\0\0"s), ": is empty once decompressed (0 bytes)");
  CHECK_HAS(fault(folder.write("a.safetensors.gz", kGzip)), ": decompressed byte 0: ");
}

TEST_CASE("decompressed bytes are in no file that has a name or that a child has", "[formats]") {
  const Folder folder, temporary;
  const std::string path = folder.write("a.csv.gz", kGzip);
  ::setenv("TMPDIR", temporary.path.c_str(), 1);
  {
    const TensorSet set = open_tensors(path);
    CHECK(std::filesystem::is_empty(temporary.path));
    int seen = 0;
    for (const auto& link : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      if (!std::filesystem::read_symlink(link, error).string().starts_with(temporary.path.string())) continue;
      ++seen;
      CHECK((::fcntl(std::stoi(link.path().filename()), F_GETFD) & FD_CLOEXEC) != 0);
    }
    CHECK(seen > 0);
  }
  ::setenv("TMPDIR", (temporary.path / "none").c_str(), 1);
  std::string problem;
  try {
    open_tensors(path);
  } catch (const EnvironmentError& error) {
    problem = error.what();
  }
  ::unsetenv("TMPDIR");
  CHECK_HAS(problem, path + ": a temporary file for its contents in ");
  CHECK_HAS(problem, "cannot be made: No such file or directory");
}

TEST_CASE("a disk without room is told with the reason", "[formats]") {
  const Folder folder;
  const std::string path = folder.write("a.csv.gz", kGzip);
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const ::rlimit little{.rlim_cur = 4, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &little);
  std::string problem;
  try {
    open_tensors(path);
  } catch (const EnvironmentError& error) {
    problem = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK_HAS(problem, path + ": a temporary file for its contents in ");
  CHECK_HAS(problem, " cannot be written: File too large (TMPDIR in the environment names another folder)");
}

TEST_CASE("sharded safetensors: the tensors of all files beside the index", "[formats]") {
  const Folder folder;
  folder.write("s-1", safetensors(R"({"__metadata__":{"format":"pt","part":"1"},)" + entry("a", "U8", "[1]", 0, 1) +
                                      "," + entry("c", "U8", "[2]", 1, 3) + "}",
                                  "xyz"));
  folder.write(
      "s-2", safetensors(R"({"__metadata__":{"format":"pt","part":"2"},)" + entry("b", "U8", "[1]", 0, 1) + "}", "w"));
  const auto index = [&](const std::string& map) {
    return folder.write("m.safetensors.index.json", R"({"metadata":{"total_size":4},"weight_map":)" + map + "}");
  };
  const TensorSet set = open_tensors(index(R"({"a":"s-1","b":"s-2","c":"s-1"})"));
  CHECK(set.format == "sharded safetensors");
  CHECK(names_of(set) == std::vector<std::string>{"a", "c", "b"});
  CHECK(set.tensors[0].file == set.tensors[1].file);
  CHECK(values_of<char>(set.tensors[2]) == std::vector<char>{'w'});
  CHECK(set.metadata == std::map<std::string, std::string>{{"format", "pt"}, {"total_size", "4"}});

  CHECK_HAS(fault(index(R"({"a":"s-1","c":"s-1","d":"s-1"})")), ":/weight_map: tensor 'd': is not in 's-1'");
  CHECK_HAS(fault(index(R"({"a":"s-1"})")), ":/weight_map: lacks tensor 'c', which 's-1' has");
  for (const char* file : {R"("../s-1")", R"("/etc/passwd")", R"("..")", R"("")", "7", R"("a\u0000b")"}) {
    CHECK_HAS(fault(index(std::string(R"({"a":)") + file + "}")), "allowed: the name of a file beside the index");
  }
  CHECK_HAS(fault(index("[]")), "no index of safetensors; allowed");
  CHECK_HAS(fault(index("{")), "not valid JSON");
  CHECK_THROWS_AS(open_tensors(index(R"({"a":"none"})")), InputError);
}

TEST_CASE("files of other kinds are named, and how to go on", "[formats]") {
  const Folder folder;
  const auto refused = [&](const std::string& name, const std::string& bytes) {
    return fault(folder.write(name, bytes));
  };
  const auto converted = [&](const std::string& name) {
    return ", which scripts/convert_trace.py " + (folder.path / name).string() +
           " a.safetensors converts; allowed: .safetensors, ";
  };
  CHECK_HAS(refused("a.pt", "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20"), ": is a PyTorch file" + converted("a.pt"));
  CHECK_HAS(refused("a.pkl", "\x80\x04\x95\0\0"s), ": is a Python pickle" + converted("a.pkl"));
  CHECK_HAS(refused("a.parquet", "PAR1\x15\x04"), ": is a Parquet file" + converted("a.parquet"));
  CHECK_HAS(refused("a.h5", "\x89HDF\r\n\x1a\n\0"s),
            ": is an HDF5 file: numpy.save of its array makes a .npy; allowed: .safetensors, ");
  CHECK_HAS(refused("a.gguf", "GGUF\x03\0\0\0"s), ": is a GGUF file: weights of a model");
  CHECK_HAS(refused("a.feather", "ARROW1\0\0"s), ": is an Arrow file: written as Parquet");
  CHECK_HAS(refused("a.txt", "hello"),
            ": is of no format that is known; allowed: .safetensors, .safetensors.index.json, .npy");
  CHECK_HAS(refused("json", "{}"), "of no format that is known");
  CHECK_HAS(fault((folder.path / "none").string()), ": there is no such file");
  CHECK_HAS(fault(folder.path.string()), ": is a directory");
  CHECK_HAS(refused("a.npz", ""), ": is empty (0 bytes)");
}
