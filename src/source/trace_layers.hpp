// What a trace has to offer: its layers by name, whatever files and formats it lies in. Decides which tensors make a
// layer and what a pattern matches; values are trace.cpp's business.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "options/options.hpp"
#include "source/record_files.hpp"
#include "source/record_view.hpp"

namespace tatr {

/// Rows of a layer that lie together: in one array, or in one of ids and one of scores.
struct LayerPart {
  std::optional<RowView> values;    // logits, probabilities, or the scores of a top-k
  std::optional<RowView> ids;       // of a top-k
  std::optional<TensorEntry> mask;  // [tokens]

  const RowView& view() const { return ids ? *ids : *values; }
};

/// One router's record: parts of one kind, one after the other.
struct LayerEntry {
  std::string name;
  std::vector<LayerPart> parts;
  std::vector<std::int64_t> step_rows;  // of each step; empty: it is not known where steps begin
  std::int64_t step = 0;                // that the last of the parts is of, where files are steps

  bool is_top_k() const { return parts.front().ids.has_value(); }
  std::int64_t rows() const;
  std::int64_t columns() const { return parts.front().view().columns; }
};

struct TraceLayers {
  std::shared_ptr<const RecordFiles> files;
  std::vector<LayerEntry> layers;         // in natural order, at least one; columns agree within each
  std::int64_t experts = 0;               // metadata; 0: none given
  std::optional<std::string> model = {};  // likewise; empty: files name different ones
};

/// Opens the files and takes the layers that the source names. `tokens`: what the config asks for at least, 0 for all.
/// Throws InputError.
TraceLayers open_trace(const TraceSource& source, std::int64_t tokens = 0);

/// Whether a tensor of this name holds ids or scores of a top-k.
bool is_named_top_k(const std::string& name);

/// Whether a tensor of this name holds probabilities of all experts.
bool is_named_probabilities(const std::string& name);

}  // namespace tatr
