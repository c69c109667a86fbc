#include "source/trace.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "core/error.hpp"
#include "core/exact_math.hpp"
#include "core/half.hpp"
#include "source/trace_file.hpp"
#include "source/trace_values.hpp"

namespace tatr {
namespace {

constexpr std::int64_t kBlockBytes = 1 << 20;  // of one read

// ---- Shapes and types

std::string place(const TraceFile& trace, const TensorEntry& tensor) {
  return trace.file.path() + (tensor.name.empty() ? "" : ": tensor " + in_quotes(tensor.name));
}

void check_dtype(const TraceFile& trace, const TensorEntry& tensor, std::initializer_list<std::string_view> allowed) {
  if (std::ranges::count(allowed, tensor.dtype) != 0) return;
  std::string list;
  for (const std::string_view dtype : allowed) list += (list.empty() ? "" : ", ") + std::string(dtype);
  throw InputError(place(trace, tensor), "dtype " + tensor.dtype + "; allowed: " + list);
}

void check_shape(const TraceFile& trace, const TensorEntry& tensor, const char* allowed) {
  const auto& shape = tensor.shape;
  const bool fits = shape.size() == 2 && std::ranges::all_of(shape, [](auto d) { return d >= 1 && d <= kMostInt32; });
  if (fits) return;
  throw InputError(place(trace, tensor), "shape " + shape_text(shape) + "; allowed: " + allowed + ", each from 1 to " +
                                             std::to_string(kMostInt32));
}

/// What the config says of the values against what the tensors are.
void check_said(const TraceFile& trace, const LayerEntry& layer, TraceValues said) {
  if (layer.ids && said == TraceValues::kLogits) {
    throw InputError(place(trace, layer.values),
                     "top-k scores, but \"values\" says logits; allowed: \"top_k\", or none");
  }
  if (!layer.ids && said == TraceValues::kTopK) {
    throw InputError(place(trace, layer.values),
                     "has no ids beside it, but \"values\" says top_k; allowed: \"logits\", or none");
  }
}

/// Checks one layer and returns its shape; `tokens` counts the whole file.
TraceInfo check_layer(const TraceFile& trace, const LayerEntry& layer, TraceValues said) {
  check_said(trace, layer, said);
  TraceInfo info;
  const TensorEntry& values = layer.values;
  if (!layer.ids) {
    check_shape(trace, values, "[tokens, experts]");
    if (trace.npy) {
      check_dtype(trace, values, {"F16", "F32", "F64"});
    } else {
      check_dtype(trace, values, {"F16", "BF16", "F32"});
    }
    info.tokens = values.shape[0];
    info.experts = values.shape[1];
    if (trace.experts != 0 && trace.experts != info.experts) {
      throw InputError(place(trace, values), "shape " + shape_text(values.shape) + ", but the metadata say " +
                                                 std::to_string(trace.experts) + " experts");
    }
    return info;
  }
  check_shape(trace, *layer.ids, "[tokens, top_k]");
  check_shape(trace, values, "[tokens, top_k]");
  check_dtype(trace, *layer.ids, {"I64", "I32", "I16", "U8"});
  check_dtype(trace, values, {"F32", "BF16", "F16"});
  if (layer.ids->shape != values.shape) {
    throw InputError(place(trace, values), "shape " + shape_text(values.shape) +
                                               "; allowed: " + shape_text(layer.ids->shape) + ", that of " +
                                               in_quotes(layer.ids->name));
  }
  info.tokens = values.shape[0];
  info.top_k = values.shape[1];
  info.experts = trace.experts;
  if (info.experts != 0 && info.top_k > info.experts) {
    throw InputError(place(trace, values), "shape " + shape_text(values.shape) + " chooses more than the " +
                                               std::to_string(info.experts) + " experts of the metadata");
  }
  return info;
}

std::int64_t tokens_left(const TraceFile& trace, const TensorEntry& tensor, std::int64_t first_token) {
  if (first_token < 0 || first_token >= tensor.shape[0]) {
    throw InputError(place(trace, tensor), "first_token " + std::to_string(first_token) + "; allowed: 0 to " +
                                               std::to_string(tensor.shape[0] - 1));
  }
  return tensor.shape[0] - first_token;
}

// ---- Values

template <class T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

using FloatLoader = double (*)(const std::byte*);
using IntegerLoader = std::int64_t (*)(const std::byte*);

FloatLoader float_loader(const std::string& dtype) {
  if (dtype == "F16") return [](const std::byte* at) -> double { return float_from_half(load<std::uint16_t>(at)); };
  if (dtype == "BF16")
    return [](const std::byte* at) -> double { return float_from_bfloat16(load<std::uint16_t>(at)); };
  if (dtype == "F32") return [](const std::byte* at) -> double { return load<float>(at); };
  return [](const std::byte* at) -> double { return load<double>(at); };
}

IntegerLoader integer_loader(const std::string& dtype) {
  if (dtype == "I64") return [](const std::byte* at) -> std::int64_t { return load<std::int64_t>(at); };
  if (dtype == "I32") return [](const std::byte* at) -> std::int64_t { return load<std::int32_t>(at); };
  if (dtype == "I16") return [](const std::byte* at) -> std::int64_t { return load<std::int16_t>(at); };
  return [](const std::byte* at) -> std::int64_t { return load<std::uint8_t>(at); };
}

/// Some rows of one tensor [rows, columns], read block by block.
class RowReader {
 public:
  RowReader(TraceFile& trace, const TensorEntry& tensor, std::int64_t first_row, std::int64_t rows)
      : trace_(trace),
        tensor_(tensor),
        first_(first_row * tensor.shape[1]),
        count_(rows * tensor.shape[1]),
        element_bytes_(dtype_bits(tensor.dtype) / 8) {}

  /// Calls visit(i, bytes of element i) for i = 0 … rows * columns - 1.
  template <class Visit>
  void for_each(Visit visit) {
    const std::int64_t block = std::min(count_, kBlockBytes / element_bytes_);
    std::vector<std::byte> bytes(static_cast<std::size_t>(block * element_bytes_));
    for (std::int64_t begin = 0; begin < count_; begin += block) {
      const std::int64_t size = std::min(block, count_ - begin);
      trace_.file.read(byte_of(begin), std::span(bytes).first(static_cast<std::size_t>(size * element_bytes_)));
      for (std::int64_t i = 0; i < size; ++i) visit(begin + i, bytes.data() + i * element_bytes_);
    }
  }

  /// Refuses element i; rows count from the tensor's first.
  [[noreturn]] void refuse(std::int64_t i, const std::string& found, const std::string& allowed) const {
    const std::int64_t columns = tensor_.shape[1];
    throw InputError(place(trace_, tensor_) + ", row " + std::to_string((first_ + i) / columns) + ", column " +
                         std::to_string((first_ + i) % columns) + " (byte " + std::to_string(byte_of(i)) + ")",
                     found + "; allowed: " + allowed);
  }

 private:
  std::int64_t byte_of(std::int64_t i) const { return tensor_.offset_bytes + (first_ + i) * element_bytes_; }

  TraceFile& trace_;
  const TensorEntry& tensor_;
  const std::int64_t first_, count_, element_bytes_;
};

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "Inf";
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

/// All finite; +0 for -0, so that equal logits have equal bits.
std::vector<float> read_logits(TraceFile& trace, const TensorEntry& tensor, std::int64_t first_row, std::int64_t rows) {
  constexpr double kMost = std::numeric_limits<float>::max();
  std::vector<float> values(static_cast<std::size_t>(rows * tensor.shape[1]));
  RowReader reader(trace, tensor, first_row, rows);
  const FloatLoader load_one = float_loader(tensor.dtype);
  reader.for_each([&](std::int64_t i, const std::byte* bytes) {
    const double value = load_one(bytes);
    if (!(value >= -kMost && value <= kMost)) reader.refuse(i, number_text(value), "finite fp32 numbers");
    values[static_cast<std::size_t>(i)] = static_cast<float>(value) + 0.0f;
  });
  return values;
}

/// 1 and what rounding may add to it: two steps of the dtype, as of a quotient of rounded numbers.
double largest_score(const std::string& dtype) {
  if (dtype == "F16") return 1.0 + 2 * 0x1p-10;
  if (dtype == "BF16") return 1.0 + 2 * 0x1p-7;
  return 1.0 + 2 * 0x1p-23;
}

/// All from 0 to 1: +0 for -0, and 1 for what is above it by rounding alone.
std::vector<float> read_scores(TraceFile& trace, const TensorEntry& tensor, std::int64_t first_row, std::int64_t rows) {
  std::vector<float> values(static_cast<std::size_t>(rows * tensor.shape[1]));
  RowReader reader(trace, tensor, first_row, rows);
  const FloatLoader load_one = float_loader(tensor.dtype);
  const double largest = largest_score(tensor.dtype);
  reader.for_each([&](std::int64_t i, const std::byte* bytes) {
    const double value = load_one(bytes);
    if (!(value >= 0.0 && value <= largest)) reader.refuse(i, number_text(value), "scores from 0 to 1");
    values[static_cast<std::size_t>(i)] = as_share(static_cast<float>(value));
  });
  return values;
}

std::vector<std::int32_t> read_ids(TraceFile& trace, const TensorEntry& tensor, std::int64_t first_row,
                                   std::int64_t rows, std::int64_t experts) {
  const auto top_k = static_cast<std::size_t>(tensor.shape[1]);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(rows) * top_k), row(top_k);
  RowReader reader(trace, tensor, first_row, rows);
  const IntegerLoader load_one = integer_loader(tensor.dtype);
  reader.for_each([&](std::int64_t i, const std::byte* bytes) {
    const std::int64_t id = load_one(bytes);
    if (id < 0 || id >= experts) {
      reader.refuse(i, "expert " + std::to_string(id) + (id == -1 ? ", as padding has" : ""),
                    "0 to " + std::to_string(experts - 1) +
                        (id == -1 ? ", and tokens alone (\"first_token\" and router.tokens choose rows)" : ""));
    }
    ids[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(id);
  });
  for (std::size_t begin = 0; begin < ids.size(); begin += top_k) {
    const auto own = std::span(ids).subspan(begin, top_k);
    std::ranges::copy(own, row.begin());
    std::ranges::sort(row);
    const auto twice = std::ranges::adjacent_find(row);
    if (twice == row.end()) continue;
    const auto first = std::ranges::find(own, *twice);
    const auto second = std::find(first + 1, own.end(), *twice);
    reader.refuse(static_cast<std::int64_t>(begin) + (second - own.begin()),
                  "expert " + std::to_string(*twice) + " for the second time in the row", "distinct experts");
  }
  return ids;
}

/// The number of experts that the config (0: none) and the file (0: none) agree on.
std::int64_t agreed_experts(const TraceFile& trace, const LayerEntry& layer, const TraceInfo& info,
                            std::int64_t config) {
  if (config == 0 && info.experts == 0) {
    throw InputError(place(trace, layer.values),
                     "a trace of top-k ids without metadata 'experts' needs router.experts in the config");
  }
  if (config != 0 && info.experts != 0 && config != info.experts) {
    throw InputError(place(trace, layer.values), "the config says " + std::to_string(config) + " experts; allowed: " +
                                                     std::to_string(info.experts) + ", as in the file");
  }
  const std::int64_t experts = config != 0 ? config : info.experts;
  if (experts < info.top_k || experts > kMostInt32) {
    throw InputError(place(trace, layer.values), std::to_string(experts) +
                                                     " experts; allowed: " + std::to_string(info.top_k) +
                                                     " (top_k) to " + std::to_string(kMostInt32));
  }
  return experts;
}

/// One layer of an open trace, checked as far as headers go.
class LayerReader {
 public:
  LayerReader(const TraceSource& source, TraceFile& trace, const LayerEntry& layer, std::int64_t tokens,
              std::int64_t experts)
      : source_(source), trace_(trace), layer_(layer) {
    const TraceInfo info = check_layer(trace_, layer_, source.values);
    const std::int64_t left = tokens_left(trace_, layer_.values, source.first_token);
    if (tokens < 0 || tokens > left) {
      throw InputError(place(trace_, layer_.values), std::to_string(tokens) + " tokens from first_token " +
                                                         std::to_string(source.first_token) + " on; allowed: at most " +
                                                         std::to_string(left) + ", what is left of " +
                                                         std::to_string(layer_.values.shape[0]));
    }
    tokens_ = tokens == 0 ? left : tokens;
    experts_ = agreed_experts(trace_, layer_, info, experts);
  }

  std::int64_t tokens() const { return tokens_; }
  std::int64_t rows_of_a_block() const {
    return std::max<std::int64_t>(1, kBlockBytes / (layer_.values.shape[1] * dtype_bits(layer_.values.dtype) / 8));
  }

  /// The first `rows` of the tokens.
  TraceLayer read(std::int64_t rows) {
    TraceLayer result;
    result.tensor = layer_.name;
    result.tokens = rows;
    result.experts = experts_;
    if (!layer_.ids) {
      result.logits = read_logits(trace_, layer_.values, source_.first_token, rows);
      refuse(problem_of_logits(result.logits, experts_, layer_.values.shape[0]));
      return result;
    }
    result.top_k = layer_.values.shape[1];
    result.chosen = read_ids(trace_, *layer_.ids, source_.first_token, rows, experts_);
    result.scores = read_scores(trace_, layer_.values, source_.first_token, rows);
    refuse(problem_of_scores(result.scores, result.top_k));
    return result;
  }

 private:
  void refuse(const std::optional<ValueProblem>& problem) const {
    if (!problem || source_.values != TraceValues::kTold) return;
    const std::string row = problem->row < 0 ? "" : ", row " + std::to_string(source_.first_token + problem->row);
    throw InputError(place(trace_, layer_.values) + row, problem->found + "; allowed: " + problem->allowed);
  }

  const TraceSource& source_;
  TraceFile& trace_;
  const LayerEntry& layer_;
  std::int64_t tokens_ = 0, experts_ = 0;
};

/// The layers that `source` names, all of one shape.
TraceInfo inspect_layers(const TraceFile& trace, const TraceSource& source) {
  const std::vector<const LayerEntry*> layers = select_layers(trace, source.tensors);
  TraceInfo info = check_layer(trace, *layers[0], source.values);
  for (const LayerEntry* layer : layers) {
    const TraceInfo own = check_layer(trace, *layer, source.values);
    if (own.tokens != info.tokens || own.experts != info.experts || own.top_k != info.top_k) {
      throw InputError(place(trace, layer->values), "shape " + shape_text(layer->values.shape) +
                                                        " is not that of the layer " + in_quotes(layers[0]->name) +
                                                        ", " + shape_text(layers[0]->values.shape) +
                                                        "; allowed: layers of one shape, all logits or all top-k");
    }
    info.tensors.push_back(layer->name);
  }
  info.tokens = tokens_left(trace, layers[0]->values, source.first_token);
  return info;
}

}  // namespace

void add_to(Digest& digest, const TraceLayer& layer) {
  digest.add_values(layer.tensor);
  digest.add_values(std::array{layer.tokens, layer.experts, layer.top_k});
  digest.add_values(layer.logits);
  digest.add_values(layer.chosen);
  digest.add_values(layer.scores);
}

struct TraceReader::Opened {
  TraceSource source;
  TraceFile trace;
  std::unordered_map<std::string_view, const LayerEntry*> layers;  // by name

  const LayerEntry& layer(const std::string& tensor) const {
    const auto found = layers.find(tensor);
    if (found == layers.end()) refuse_name(trace, tensor);
    return *found->second;
  }
};

TraceReader::TraceReader(const TraceSource& source) : opened_(new Opened{source, open_trace(source), {}}) {
  for (const LayerEntry& layer : opened_->trace.layers) opened_->layers.emplace(layer.name, &layer);
}

TraceReader::~TraceReader() = default;

TraceInfo TraceReader::inspect() const { return inspect_layers(opened_->trace, opened_->source); }

TraceLayer TraceReader::read_layer(const std::string& tensor, std::int64_t tokens, std::int64_t experts) {
  LayerReader reader(opened_->source, opened_->trace, opened_->layer(tensor), tokens, experts);
  return reader.read(reader.tokens());
}

void TraceReader::check_start(std::int64_t tokens, std::int64_t experts) {
  for (const std::string& tensor : inspect().tensors) {
    LayerReader reader(opened_->source, opened_->trace, opened_->layer(tensor), tokens, experts);
    reader.read(std::min(reader.tokens(), reader.rows_of_a_block()));
  }
}

TraceInfo inspect_trace(const TraceSource& source) { return TraceReader(source).inspect(); }

TraceLayer read_trace_layer(const TraceSource& source, const std::string& tensor, std::int64_t tokens,
                            std::int64_t experts) {
  return TraceReader(source).read_layer(tensor, tokens, experts);
}

void check_trace_start(const TraceSource& source, std::int64_t tokens, std::int64_t experts) {
  TraceReader(source).check_start(tokens, experts);
}

}  // namespace tatr
