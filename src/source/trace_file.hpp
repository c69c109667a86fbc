// What a trace file has to offer: its layers by name, whatever the format. Decides which tensors make a layer and what
// a pattern matches; the shapes, types and values of a layer are trace.cpp's business.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/tensor_file.hpp"
#include "options/options.hpp"

namespace tatr {

/// Token and expert indices are int32.
inline constexpr std::int64_t kMostInt32 = std::numeric_limits<std::int32_t>::max();

/// What one layer is made of.
struct LayerEntry {
  std::string name;
  TensorEntry values;              // logits, or the scores of a pair
  std::optional<TensorEntry> ids;  // of a pair
};

struct TraceFile {
  BinaryFile file;
  bool npy = false;
  std::vector<LayerEntry> layers;           // all that the file could be asked for, checked only as far as its header
  std::map<std::string, std::string> lone;  // prefix of a pair with one half missing -> the half that is there
  std::int64_t experts = 0;                 // metadata; 0: none given
};

/// Reads the header of source.path. Throws InputError.
TraceFile open_trace(const TraceSource& source);

/// The layers that the patterns name, each once, in natural order; at least one. Throws InputError.
std::vector<const LayerEntry*> select_layers(const TraceFile& trace, std::vector<std::string> patterns);

/// Throws the InputError for a pattern that matches no layer, with some of the names that are there.
[[noreturn]] void refuse_name(const TraceFile& trace, const std::string& pattern);

}  // namespace tatr
