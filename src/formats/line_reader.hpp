// The lines of a text file, one after another, in the memory of the longest. Decides what a line is: it ends in \n or
// \r\n, the mark of UTF-8 before the first is no part of it, and none may be empty but those at the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/tensor_file.hpp"

namespace tatr {

class LineReader {
 public:
  /// `file` must outlive it.
  LineReader(const BinaryFile& file, const TensorLimits& limits) : file_(file), limits_(limits) {}

  /// The next line, which stays until the one after it is asked for; false at the end. Throws InputError for a line
  /// that is too long or empty.
  bool next(std::string_view& line);

  std::int64_t number() const { return number_; }  // of the line, from 1
  std::string place() const;                       // "file: line 1"

 private:
  bool next_of_any(std::string_view& line);

  const BinaryFile& file_;
  const TensorLimits limits_;
  std::string buffer_;
  std::size_t begin_ = 0;   // of the next line in the buffer
  std::int64_t taken_ = 0;  // of the file, into the buffer
  std::int64_t number_ = 0;
};

}  // namespace tatr
