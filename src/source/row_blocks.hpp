// Rows of a recorded layer, read some at a time and in order, however far apart they lie in the file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "source/record_view.hpp"

namespace tatr {

inline constexpr std::int64_t kBlockBytes = 1 << 20;  // of one read

class RowBlocks {
 public:
  explicit RowBlocks(const RowView& view) : view_(view), element_bytes_(dtype_bits(view.tensor.dtype) / 8) {}

  /// Calls visit(row, bytes of the row) for rows first … first + count - 1.
  template <class Visit>
  void for_each(std::int64_t first, std::int64_t count, Visit visit) {
    const std::int64_t row_bytes = view_.columns * element_bytes_;
    const std::int64_t stride = std::max(view_.inner_stride * element_bytes_, row_bytes);
    // Rows far apart are read one by one, others with what lies between them.
    const std::int64_t together =
        row_bytes >= 4096 && stride > row_bytes ? 1 : std::max<std::int64_t>(1, kBlockBytes / stride);
    for (std::int64_t row = first; row < first + count;) {
      const std::int64_t left_of_step = view_.inner - row % view_.inner;
      const std::int64_t rows = std::min({together, first + count - row, left_of_step});
      bytes_.resize(static_cast<std::size_t>((rows - 1) * stride + row_bytes));
      view_.tensor.file->read(byte_of(view_.at(row)), bytes_);
      for (std::int64_t i = 0; i < rows; ++i, ++row) {
        visit(row, std::span<const std::byte>(bytes_).subspan(static_cast<std::size_t>(i * stride),
                                                              static_cast<std::size_t>(row_bytes)));
      }
    }
  }

  /// "file: tensor 'x', layer 3, row 5", the start of an error message.
  std::string at_row(std::int64_t row) const {
    return place_of(view_.tensor) + (view_.layer.empty() ? "" : ", layer " + view_.layer) + ", row " +
           std::to_string(row);
  }

  /// "file: tensor 'x', row 5, column 2 (byte 96)"
  std::string at_element(std::int64_t row, std::int64_t column) const {
    const BinaryFile& file = *view_.tensor.file;
    const std::string byte = file.at_byte(byte_of(view_.at(row) + column)).substr(file.path().size() + 2);
    return at_row(row) + ", column " + std::to_string(column) + " (" + byte + ")";
  }

  [[noreturn]] void refuse(std::int64_t row, std::int64_t column, const std::string& found,
                           const std::string& allowed) const {
    throw InputError(at_element(row, column), found + "; allowed: " + allowed);
  }

 private:
  std::int64_t byte_of(std::int64_t element) const { return view_.tensor.offset_bytes + element * element_bytes_; }

  const RowView& view_;
  const std::int64_t element_bytes_;
  std::vector<std::byte> bytes_;
};

}  // namespace tatr
