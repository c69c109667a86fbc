// What the dimensions of a recorded array are, and where a layer's rows lie in it. Decides what a shape can be read as:
// one reading, or it is refused and the config has to say. Knows no values.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/tensor_file.hpp"
#include "options/sources/record_options.hpp"

namespace tatr {

/// Token and expert indices are int32.
inline constexpr std::int64_t kMostInt32 = 0x7FFFFFFF;

/// More routers than any network has: a longer axis is no axis of layers.
inline constexpr std::int64_t kMostLayers = 512;

/// How large each axis of an array in C order is, and how many elements apart its neighbours are.
class AxisLayout {
 public:
  AxisLayout(const TensorEntry& tensor, const std::vector<Axis>& axes);

  bool has(Axis axis) const { return stride(axis) != 0; }
  std::int64_t size(Axis axis) const { return sizes_[place(axis)]; }      // 1 where there is no such axis
  std::int64_t stride(Axis axis) const { return strides_[place(axis)]; }  // 0 likewise
  std::int64_t elements() const { return elements_; }
  /// Where along an axis an element is; 0 where there is no such axis.
  std::int64_t index(Axis axis, std::int64_t element) const {
    return has(axis) ? element / stride(axis) % size(axis) : 0;
  }

 private:
  static std::size_t place(Axis axis) { return static_cast<std::size_t>(axis); }

  std::array<std::int64_t, kAxisWords.size()> sizes_, strides_{};
  std::int64_t elements_ = 1;
};

/// Rows [outer * inner, columns] of one layer within an array, in elements from its start.
struct RowView {
  TensorEntry tensor;
  std::string layer;  // "", or which layer of the tensor it is, for errors
  std::int64_t outer = 1, inner = 1, columns = 1;
  std::int64_t first = 0, outer_stride = 0, inner_stride = 0;
  std::vector<std::int64_t> shape;  // as its dimensions are written in errors

  std::int64_t rows() const { return outer * inner; }
  /// The first element of a row.
  std::int64_t at(std::int64_t row) const { return first + row / inner * outer_stride + row % inner * inner_stride; }
};

/// "file: tensor 'x'", the start of an error message.
std::string place_of(const TensorEntry& tensor);

/// The axes of a tensor whose last is `last`, as `said` or as the only ones that its shape can be: [tokens, last], and
/// of three dimensions [layers, tokens, last] or [tokens, layers, last], where at least `tokens` tokens must be (0: any
/// number). Throws InputError, which names "axes", where there is a doubt.
std::vector<Axis> axes_of(const TensorEntry& tensor, const std::vector<Axis>& said, Axis last, std::int64_t tokens);

/// "shape [4, 2048, 64] is read as [layers, tokens, experts]" of a view that axes_of found without being told; empty
/// where it is of two dimensions, or of one layer whichever axis that is.
std::string guessed_axes(const RowView& view);

/// A view of each layer: rows are tokens, after one another for each step. Dimensions are from 1 to kMostInt32.
std::vector<RowView> layers_of(const TensorEntry& tensor, const std::vector<Axis>& axes);

/// "[tokens, layers, experts]"
std::string axes_text(std::span<const Axis> axes);

}  // namespace tatr
