// Files that survive what befalls a run. An OutputFile is either whole or not there: written beside its destination,
// then renamed. A LineFile only grows, and each line is on the disk before the next step. Knows nothing of what is
// written. Every failure of theirs is an EnvironmentError that names the path and the system's reason.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tatr {

/// Throws UsageError, with both names, where two outputs are one file or an output is one of the inputs: the later
/// would destroy the earlier. Empty names, "-", devices and pipes may occur more than once.
void check_apart(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs);

class OutputFile {
 public:
  /// Creates the temporary file at once, so that a folder that is missing or read-only fails before work starts; and
  /// removes those that runs to the same file left when they were killed, but none that is still being written.
  /// "-" is stdout; a device or pipe is written directly.
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Takes so much of the disk now, so that a disk that is too full fails before work starts. What is not used is
  /// given back. Does nothing for stdout, a device or a pipe.
  void reserve(std::size_t bytes);

  void write(std::string_view bytes);

  /// Puts what was written in place. Until then, and if anything fails, the old file remains.
  void commit();
  void commit(std::string_view content) {
    write(content);
    commit();
  }

 private:
  [[noreturn]] void fail(const char* doing) const;

  std::string path_;
  std::string temporary_;  // empty: written directly
  int descriptor_ = -1;
};

class LineFile {
 public:
  /// Opens or creates the file, and locks it against other processes that would append to it. "-" is stdout.
  explicit LineFile(std::string path);
  ~LineFile();  // removes a file that holds nothing
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  bool is_empty() const;

  /// Calls visit for each whole line that the file holds, without its newline. What follows the last newline was torn
  /// by a crash and is then cut off; if visit throws, the file stays as it is.
  void recover(const std::function<void(std::string_view)>& visit);

  /// Fails if the disk has no room for so many bytes more.
  void check_room(std::size_t bytes);

  /// Appends a line, which must hold no newline, and waits until it is on the disk. If that fails, the file ends as
  /// before and the line is kept in the folder for temporary files; if the file was removed meanwhile, all its lines
  /// are. The error says where.
  void append(std::string line);

 private:
  [[noreturn]] void fail(const char* doing) const;
  std::string read_all() const;

  std::string path_;
  int descriptor_ = -1;
  bool regular_ = false;
};

/// Removes the temporary files of all OutputFiles that there are. For the end of the program, also in a signal handler.
void remove_partial_files() noexcept;

/// Saves what could not be written to `path` in the folder for temporary files and says so: "; it is kept in FILE", or
/// that this failed too.
std::string keep_aside(std::string_view content, const std::string& path);

}  // namespace tatr
