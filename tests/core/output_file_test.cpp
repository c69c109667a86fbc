// Files that survive: whole or not there, and line by line.
#include "core/output_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "catch.hpp"
#include "core/error.hpp"

namespace fs = std::filesystem;
using tatr::EnvironmentError;
using tatr::LineFile;
using tatr::OutputFile;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "tatr-output-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const char* name) const { return (path / name).string(); }
  auto entries() const { return std::distance(fs::directory_iterator(path), {}); }
};

std::string content(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

template <typename Action>
std::string failure(Action action) {
  try {
    action();
  } catch (const EnvironmentError& error) {
    return error.what();
  }
  return "";
}

std::vector<std::string> lines_of(LineFile& file) {
  std::vector<std::string> lines;
  file.recover([&](std::string_view line) { lines.emplace_back(line); });
  return lines;
}

}  // namespace

TEST_CASE("an output file removes what killed runs left of it, but nothing that is written or is not its own",
          "[output]") {
  const Folder folder;
  const OutputFile other(folder / "b");
  const std::string left = folder / "a.partial-99999999", locked = folder / "a.partial-99999998";
  const std::string named = folder / "a.partial-notes", foreign = folder / "aa.partial-1";
  for (const std::string& path : {left, locked, named, foreign}) std::ofstream(path) << "x";
  const int writer = open(locked.c_str(), O_WRONLY);
  REQUIRE(flock(writer, LOCK_EX | LOCK_NB) == 0);
  {
    OutputFile file(folder / "a");
    CHECK_FALSE(fs::exists(left));
    for (const std::string& path : {locked, named, foreign}) CHECK(fs::exists(path));
    CHECK(folder.entries() == 5);
  }
  close(writer);
  OutputFile(folder / "a").commit("whole");
  CHECK_FALSE(fs::exists(locked));
  CHECK(content(folder / "a") == "whole");
}

TEST_CASE("an output file replaces the old one only when it is whole", "[output]") {
  const Folder folder;
  const std::string path = folder / "a";
  std::ofstream(path) << "old";
  {
    OutputFile file(path);
    file.reserve(1 << 16);
    file.write("half");
  }
  CHECK(content(path) == "old");
  {
    OutputFile file(path);
    file.reserve(1 << 16);
    file.write("new, ");
    file.write("whole");
    CHECK(content(path) == "old");
    file.commit();
  }
  CHECK(content(path) == "new, whole");  // what was reserved is given back
  CHECK(folder.entries() == 1);
}

TEST_CASE("an output file that cannot be says why at once", "[output]") {
  const Folder folder;
  CHECK(failure([&] { OutputFile(folder / "none/a"); }) ==
        (folder / "none/a") + ": cannot be created: No such file or directory");
  CHECK_THAT(failure([&] { OutputFile(folder.path.string()); }), Catch::Contains("cannot be written: Is a directory"));
  CHECK(folder.entries() == 0);
}

TEST_CASE("an output file whose folder vanishes is an error", "[output]") {
  const Folder folder;
  fs::create_directory(folder.path / "sub");
  OutputFile file(folder / "sub/a");
  file.write("x");
  fs::remove_all(folder.path / "sub");
  CHECK_THAT(failure([&] { file.commit(); }), Catch::Contains("cannot be replaced: No such file"));
}

TEST_CASE("what refuses a line leaves the file as it is", "[output]") {
  const Folder folder;
  const std::string path = folder / "lines";
  std::ofstream(path) << "one\ntwo\nthr";
  LineFile file(path);
  CHECK_THROWS_AS(file.recover([](std::string_view) { throw tatr::UsageError("no"); }), tatr::UsageError);
  CHECK(content(path) == "one\ntwo\nthr");
}

TEST_CASE("a line may be longer than a block, and the last one torn", "[output]") {
  const Folder folder;
  const std::string path = folder / "lines";
  const std::string line((3 << 20) + 5, 'x');
  std::ofstream(path) << line << "\n\n" << line;
  LineFile file(path);
  CHECK(lines_of(file) == std::vector<std::string>{line, ""});
  CHECK(fs::file_size(path) == line.size() + 2);
}

TEST_CASE("a line file grows, and forgets a torn line", "[output]") {
  const Folder folder;
  const std::string path = folder / "lines";
  {
    LineFile file(path);
    CHECK(lines_of(file).empty());
    file.check_room(1 << 16);
    file.append("one");
    file.append("two");
  }
  CHECK(content(path) == "one\ntwo\n");
  std::ofstream(path, std::ios::app) << "thr";
  LineFile file(path);
  CHECK(lines_of(file) == std::vector<std::string>{"one", "two"});
  CHECK(content(path) == "one\ntwo\n");
  file.append("three");
  CHECK(content(path) == "one\ntwo\nthree\n");
  CHECK_THAT(failure([&] { LineFile other(path); }), Catch::Contains("another process is writing it"));
}

TEST_CASE("lines of a removed file are kept aside", "[output]") {
  const Folder folder;
  setenv("TMPDIR", folder.path.c_str(), 1);
  fs::create_directory(folder.path / "sub");
  LineFile file(folder / "sub/lines");
  file.append("one");
  fs::remove_all(folder.path / "sub");
  const std::string message = failure([&] { file.append("two"); });
  unsetenv("TMPDIR");
  const std::string marker = "it is kept in ";
  REQUIRE(message.find(marker) != std::string::npos);
  CHECK(content(message.substr(message.find(marker) + marker.size())) == "one\ntwo\n");
}
