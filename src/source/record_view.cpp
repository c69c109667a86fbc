#include "source/record_view.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace tatr {

namespace {

void check_dimensions(const TensorEntry& tensor, const std::vector<Axis>& axes) {
  const bool fit = tensor.shape.size() == axes.size() &&
                   std::ranges::all_of(tensor.shape, [](auto d) { return d >= 1 && d <= kMostInt32; });
  if (fit) return;
  throw InputError(place_of(tensor),
                   "shape " + shape_text(tensor.shape) + "; allowed: " + axes_text(axes) + ", each from 1 to " +
                       std::to_string(kMostInt32) +
                       (tensor.shape.size() > 3 ? "; \"axes\" in the source says what others are" : ""));
}

[[noreturn]] void refuse_doubt(const TensorEntry& tensor, const std::string& found, const std::string& allowed) {
  throw AmbiguousInputError(AmbiguousInputError::Doubt::kAxes, place_of(tensor),
                            "shape " + shape_text(tensor.shape) + " " + found + "; allowed: " + allowed +
                                "; \"axes\" in the source says which");
}

std::vector<Axis> said_axes(const TensorEntry& tensor, const std::vector<Axis>& said, Axis last) {
  const bool tokens = std::ranges::count(said, Axis::kTokens) == 1;
  const Axis other = last == Axis::kExperts ? Axis::kTopK : Axis::kExperts;
  if (said.back() != last || std::ranges::count(said, other) != 0 || !tokens) {
    throw InputError(place_of(tensor), "\"axes\" says " + axes_text(said) +
                                           "; allowed here: an axis of tokens, and for the last " +
                                           std::string(kAxisWords.begin()[static_cast<int>(last)]));
  }
  check_dimensions(tensor, said);
  return said;
}

}  // namespace

std::string place_of(const TensorEntry& tensor) {
  return tensor.file->path() + (tensor.name.empty() ? "" : ": tensor " + in_quotes(tensor.name));
}

std::string axes_text(std::span<const Axis> axes) {
  std::string text = "[";
  for (const Axis axis : axes)
    text += (text.size() == 1 ? "" : ", ") + std::string(kAxisWords.begin()[static_cast<int>(axis)]);
  return text + "]";
}

std::vector<Axis> axes_of(const TensorEntry& tensor, const std::vector<Axis>& said, Axis last, std::int64_t tokens) {
  if (!said.empty()) return said_axes(tensor, said, last);
  const std::vector<Axis> flat = {Axis::kTokens, last}, layers_first = {Axis::kLayers, Axis::kTokens, last},
                          tokens_first = {Axis::kTokens, Axis::kLayers, last};
  if (tensor.shape.size() != 3) {
    check_dimensions(tensor, flat);
    return flat;
  }
  check_dimensions(tensor, layers_first);
  const std::vector<Axis> sequences = {Axis::kSteps, Axis::kTokens, last};
  const std::string either = axes_text(layers_first) + " or " + axes_text(tokens_first) + ", or " +
                             axes_text(sequences) + " of sequences or steps";
  if (tensor.of_lines)
    refuse_doubt(tensor, "is of lines, which may be steps or tokens",
                 axes_text(tokens_first) + " or [steps, tokens, …]");
  const auto can_be = [&](std::int64_t layer_count, std::int64_t token_count) {
    return layer_count <= kMostLayers && token_count >= tokens;
  };
  const bool is_layers_first = can_be(tensor.shape[0], tensor.shape[1]);
  const bool is_tokens_first = can_be(tensor.shape[1], tensor.shape[0]);
  if (is_layers_first != is_tokens_first) return is_layers_first ? layers_first : tokens_first;
  refuse_doubt(tensor,
               is_layers_first ? "may be read in two ways"
                               : "has neither dimension of layers (" + std::to_string(kMostLayers) + " at most)",
               either);
}

AxisLayout::AxisLayout(const TensorEntry& tensor, const std::vector<Axis>& axes) {
  sizes_.fill(1);
  for (std::size_t i = axes.size(); i-- > 0; elements_ *= tensor.shape[i]) {
    sizes_[place(axes[i])] = tensor.shape[i];
    strides_[place(axes[i])] = elements_;
  }
}

std::vector<RowView> layers_of(const TensorEntry& tensor, const std::vector<Axis>& axes) {
  const AxisLayout layout(tensor, axes);
  RowView view;
  view.tensor = tensor;
  view.outer = layout.size(Axis::kSteps);
  view.inner = layout.size(Axis::kTokens);
  view.columns = tensor.shape.back();
  view.outer_stride = layout.stride(Axis::kSteps);
  view.inner_stride = layout.stride(Axis::kTokens);
  view.shape = {view.rows(), view.columns};
  if (!layout.has(Axis::kLayers)) return {view};
  std::vector<RowView> views;
  for (std::int64_t layer = 0; layer < layout.size(Axis::kLayers); ++layer) {
    views.push_back(view);
    views.back().layer = std::to_string(layer);
    views.back().first = layer * layout.stride(Axis::kLayers);
  }
  return views;
}

std::string guessed_axes(const RowView& view) {
  const std::vector<std::int64_t>& shape = view.tensor.shape;
  if (view.layer.empty() || shape.size() != 3 || shape[0] * shape[1] == view.rows()) return {};
  const bool layers_first = view.inner_stride == view.columns;
  return "shape " + shape_text(shape) + " is read as " + (layers_first ? "[layers, tokens, …]" : "[tokens, layers, …]");
}

}  // namespace tatr
