// Columns of numbers that grow side by side while a text is read, in little memory: what is full goes to a temporary
// file, and at the end each column lies in one piece. Decides how numbers are stored: I64 while all of a column are
// whole numbers, F64 from the first that is not. Knows nothing of the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/temporary_file.hpp"
#include "formats/tensor_file.hpp"

namespace tatr {

/// Numbers of one type: all I64, or all F64.
class Numbers {
 public:
  void add(std::int64_t value);
  void add(double value);
  void add(const Numbers& others);
  void clear();  // of numbers: the type remains
  void reset();  // both

  std::size_t size() const { return bits_.size(); }
  bool are_floats() const { return floats_; }
  const std::vector<std::uint64_t>& bits() const { return bits_; }

 private:
  void become_floats();

  std::vector<std::uint64_t> bits_;
  bool floats_ = false;
};

class NumberSpool {
 public:
  /// `path` is the file that the numbers are from; `most_held` of them are kept in memory.
  explicit NumberSpool(std::string path, std::size_t most_held = kMostHeld);

  static constexpr std::size_t kMostHeld = 1 << 21;
  static constexpr std::size_t kMostColumns = 65'536;

  /// A new column, or none where there are kMostColumns.
  std::optional<std::size_t> add_column();

  /// To add numbers to. What was added must be told to `added` from time to time.
  Numbers& column(std::size_t index) { return columns_[index].held; }
  void added(std::size_t numbers);

  /// The columns of these indices, one entry for each in that order, in a file of their own: dtype, offset, size and
  /// file. The spool is then empty. Throws EnvironmentError.
  std::vector<TensorEntry> finish(const std::vector<std::size_t>& columns);

 private:
  struct Chunk {
    std::int64_t offset_bytes;
    std::size_t numbers;
    bool floats;
  };
  struct Column {
    Numbers held;
    std::vector<Chunk> chunks;
  };

  void spill();

  const std::string path_;
  const std::size_t most_held_;
  std::size_t held_ = 0;
  std::vector<Column> columns_;
  std::optional<TemporaryFile> spilled_;
};

}  // namespace tatr
