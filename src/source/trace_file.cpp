#include "source/trace_file.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "core/error.hpp"
#include "formats/npy.hpp"
#include "formats/safetensors.hpp"

namespace tatr {
namespace {

constexpr std::array<std::string_view, 3> kIdNames = {"topk_ids", "topk_indices", "indices"};
constexpr std::array<std::string_view, 4> kScoreNames = {"topk_scores", "topk_weights", "scores", "probs"};
constexpr std::string_view kIdNamesText = "topk_ids, topk_indices, indices";
constexpr std::string_view kScoreNamesText = "topk_scores, topk_weights, scores, probs";
constexpr std::string_view kDefaultTensor = "router_logits";
constexpr std::string_view kUnnamedPair = "topk";
constexpr std::int64_t kMostLayers = 65'536;  // of a 3-D .npy file

// ---- The layers of a file

void add_npy_layers(TraceFile& trace) {
  TensorEntry array = read_npy_header(trace.file);
  if (array.shape.size() == 2) {
    array.name = kDefaultTensor;
    trace.layers.push_back({.name = array.name, .values = array, .ids = {}});
    return;
  }
  if (array.shape.size() != 3) {
    throw InputError(trace.file.path(),
                     "shape " + shape_text(array.shape) + "; allowed: [tokens, experts] or [layers, tokens, experts]");
  }
  const std::int64_t count = array.shape[0];
  if (count < 1 || count > kMostLayers) {
    throw InputError(trace.file.path(), "shape " + shape_text(array.shape) + " has " + std::to_string(count) +
                                            " layers; allowed: 1 to " + std::to_string(kMostLayers));
  }
  const std::int64_t layer_bytes = array.size_bytes / count;
  for (std::int64_t i = 0; i < count; ++i) {
    TensorEntry values{.name = "layers." + std::to_string(i) + "." + std::string(kDefaultTensor),
                       .dtype = array.dtype,
                       .shape = {array.shape[1], array.shape[2]},
                       .offset_bytes = array.offset_bytes + i * layer_bytes,
                       .size_bytes = layer_bytes};
    trace.layers.push_back({.name = values.name, .values = values, .ids = {}});
  }
}

std::int64_t metadata_experts(const BinaryFile& file, const std::map<std::string, std::string>& metadata) {
  const auto entry = metadata.find("experts");
  if (entry == metadata.end()) return 0;
  const std::string& text = entry->second;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > kMostInt32) {
    throw InputError(file.path() + ": metadata 'experts'",
                     in_quotes(text) + "; allowed: a whole number from 1 to " + std::to_string(kMostInt32));
  }
  return value;
}

/// Ids and scores that share a prefix.
struct Pair {
  std::vector<const TensorEntry*> ids, scores;
};

void add_safetensors_layers(TraceFile& trace) {
  const SafetensorsHeader header = read_safetensors_header(trace.file);
  trace.experts = metadata_experts(trace.file, header.metadata);
  std::map<std::string, Pair> pairs;
  for (const TensorEntry& tensor : header.tensors) {
    const std::size_t dot = tensor.name.rfind('.');
    const std::string prefix = dot == std::string::npos ? std::string(kUnnamedPair) : tensor.name.substr(0, dot);
    const std::string_view suffix = std::string_view(tensor.name).substr(dot == std::string::npos ? 0 : dot + 1);
    if (std::ranges::count(kIdNames, suffix) != 0) pairs[prefix].ids.push_back(&tensor);
    if (std::ranges::count(kScoreNames, suffix) != 0) pairs[prefix].scores.push_back(&tensor);
  }
  std::vector<const TensorEntry*> paired;
  for (const auto& [prefix, pair] : pairs) {
    if (pair.ids.size() == 1 && pair.scores.size() == 1) {
      trace.layers.push_back({.name = prefix, .values = *pair.scores[0], .ids = *pair.ids[0]});
      paired.insert(paired.end(), {pair.ids[0], pair.scores[0]});
    } else if (pair.ids.empty() || pair.scores.empty()) {
      trace.lone[prefix] = (pair.ids.empty() ? pair.scores : pair.ids)[0]->name;
    } else {
      throw InputError(trace.file.path() + ": tensors " + in_quotes(prefix + ".*"),
                       "more than one tensor of ids or of scores; allowed: one of " + std::string(kIdNamesText) +
                           " and one of " + std::string(kScoreNamesText));
    }
  }
  std::ranges::sort(paired);
  for (const TensorEntry& tensor : header.tensors) {
    if (std::ranges::binary_search(paired, &tensor)) continue;
    if (pairs.contains(tensor.name) && !trace.lone.contains(tensor.name)) {
      throw InputError(trace.file.path() + ": tensor " + in_quotes(tensor.name),
                       "there is a pair of ids and scores of the same name; allowed: one of the two");
    }
    trace.layers.push_back({.name = tensor.name, .values = tensor, .ids = {}});
  }
}

// ---- Names and patterns

/// `*` stands for any characters, none included. Linear in memory, at worst pattern times name in time.
bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The digits of `text` from `at` on without leading zeros; `at` moves behind them.
std::string_view take_number(std::string_view text, std::size_t& at) {
  while (at < text.size() && text[at] == '0') ++at;
  const std::size_t first = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return text.substr(first, at - first);
}

/// Order in which runs of digits count as numbers: layers.2 before layers.10.
bool natural_less(std::string_view a, std::string_view b) {
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const std::string_view x = take_number(a, i), y = take_number(b, j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
    }
  }
  if (i < a.size() || j < b.size()) return i >= a.size();
  return a < b;
}

std::string some_names(const TraceFile& trace) {
  constexpr std::size_t kShown = 5;
  if (trace.layers.empty()) return "the file has no tensors";
  std::vector<std::string> names;
  for (const LayerEntry& layer : trace.layers) names.push_back(layer.name);
  std::ranges::sort(names, natural_less);
  std::string text = "the file has ";
  for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i) text += (i == 0 ? "" : ", ") + in_quotes(names[i]);
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

}  // namespace

TraceFile open_trace(const TraceSource& source) {
  TraceFile trace{.file = BinaryFile(source.path), .layers = {}, .lone = {}};
  trace.npy = is_npy(trace.file) || std::string_view(source.path).ends_with(".npy");
  if (trace.npy) {
    add_npy_layers(trace);
  } else {
    add_safetensors_layers(trace);
  }
  return trace;
}

void refuse_name(const TraceFile& trace, const std::string& pattern) {
  for (const auto& [prefix, half] : trace.lone) {
    if (!matches(pattern, prefix)) continue;
    throw InputError(trace.file.path() + ": tensor " + in_quotes(half),
                     "its other half is missing; allowed: ids (" + std::string(kIdNamesText) + ") beside scores (" +
                         std::string(kScoreNamesText) + ")");
  }
  throw InputError(trace.file.path(), "no tensor matches " + in_quotes(pattern) + "; " + some_names(trace));
}

std::vector<const LayerEntry*> select_layers(const TraceFile& trace, std::vector<std::string> patterns) {
  if (patterns.empty()) throw InputError(trace.file.path(), "no tensor is named; " + some_names(trace));
  if (trace.npy && patterns == std::vector{std::string(kDefaultTensor)}) patterns = {"*"};
  std::vector<const LayerEntry*> selected;
  for (const std::string& pattern : patterns) {
    const std::size_t before = selected.size();
    for (const LayerEntry& layer : trace.layers) {
      if (matches(pattern, layer.name)) selected.push_back(&layer);
    }
    if (selected.size() == before) refuse_name(trace, pattern);
  }
  std::ranges::sort(selected, [](const LayerEntry* a, const LayerEntry* b) { return natural_less(a->name, b->name); });
  selected.erase(std::unique(selected.begin(), selected.end()), selected.end());
  return selected;
}

}  // namespace tatr
