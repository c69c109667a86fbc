// A result file that is either whole or not there: written beside its destination, then renamed.
#pragma once

#include <string>

namespace tatr {

class OutputFile {
 public:
  /// Creates the temporary file at once, so that a folder that is missing or read-only is an EnvironmentError before
  /// work starts.
  /// "-" is stdout; a device or pipe is written directly.
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Writes everything and puts it in place. EnvironmentError if any byte could not be written; then the old file
  /// remains.
  void commit(const std::string& content);

 private:
  [[noreturn]] void fail(const std::string& doing) const;

  std::string path_;
  std::string temporary_;  // empty: written directly
  int descriptor_ = -1;
};

}  // namespace tatr
