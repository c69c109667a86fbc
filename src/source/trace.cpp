#include "source/trace.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/error.hpp"
#include "core/exact_math.hpp"
#include "source/element.hpp"
#include "source/probabilities.hpp"
#include "source/row_blocks.hpp"
#include "source/trace_layers.hpp"
#include "source/trace_values.hpp"

namespace tatr {
namespace {

constexpr const char* kMaskAllowed = "tokens alone; \"mask\": \"padding\" in the source leaves such rows out";
constexpr std::string_view kPadding = "padding";
constexpr std::int64_t kManyRows = 64;  // that do not add up alike by chance

// ---- Types and numbers of experts

void check_dtypes(const LayerEntry& layer) {
  const auto check = [](const TensorEntry& tensor, std::initializer_list<std::string_view> allowed) {
    if (std::ranges::count(allowed, tensor.dtype) != 0) return;
    std::string list;
    for (const std::string_view dtype : allowed) list += (list.empty() ? "" : ", ") + std::string(dtype);
    throw InputError(place_of(tensor), "dtype " + tensor.dtype + "; allowed: " + list);
  };
  for (const LayerPart& part : layer.parts) {
    if (part.ids) check(part.ids->tensor, {"I64", "I32", "I16", "I8", "U8", "U16", "U32", "U64"});
    if (part.values) check(part.values->tensor, {"F16", "BF16", "F32", "F64"});
  }
}

/// The number of experts that the layer's shape or the files tell; 0: they do not.
std::int64_t told_experts(const TraceLayers& trace, const LayerEntry& layer) {
  const TensorEntry& tensor = layer.parts.front().view().tensor;
  if (layer.is_top_k()) {
    if (trace.experts == 0 || layer.columns() <= trace.experts) return trace.experts;
    throw InputError(place_of(tensor), "shape " + shape_text(tensor.shape) + " chooses more than the " +
                                           std::to_string(trace.experts) + " experts of the metadata");
  }
  if (trace.experts == 0 || trace.experts == layer.columns()) return layer.columns();
  throw InputError(place_of(tensor), "shape " + shape_text(tensor.shape) + ", but the metadata say " +
                                         std::to_string(trace.experts) + " experts");
}

/// The number of experts that the config (0: none) and the file (0: none) agree on.
std::int64_t agreed_experts(const LayerEntry& layer, std::int64_t told, std::int64_t config) {
  const std::string place = place_of(layer.parts.front().view().tensor);
  if (config == 0 && told == 0) {
    throw InputError(place, "a trace of top-k ids without metadata 'experts' needs router.experts in the config");
  }
  if (config != 0 && told != 0 && config != told) {
    throw InputError(place, "the config says " + std::to_string(config) + " experts; allowed: " + std::to_string(told) +
                                ", as in the file");
  }
  const std::int64_t experts = config != 0 ? config : told, top_k = layer.is_top_k() ? layer.columns() : 0;
  if (experts < top_k || experts > kMostInt32) {
    throw InputError(place, std::to_string(experts) + " experts; allowed: " + std::to_string(top_k) + " (top_k) to " +
                                std::to_string(kMostInt32));
  }
  return experts;
}

std::int64_t tokens_left(const LayerEntry& layer, std::int64_t first_token) {
  const std::int64_t rows = layer.rows();
  if (first_token < 0 || first_token >= rows) {
    throw InputError(place_of(layer.parts.front().view().tensor),
                     "first_token " + std::to_string(first_token) + "; allowed: 0 to " + std::to_string(rows - 1));
  }
  return rows - first_token;
}

// ---- Rows

/// Runs of tokens that repeat the one before; masked rows between them are not looked at.
class RepeatWatch {
 public:
  void add(std::int64_t row, bool repeats, std::vector<EqualRows>& found) {
    if (!repeats) {
      first_ = row;
      tokens_ = 0;
    }
    ++tokens_;
    if (tokens_ == kManyEqualRows) found.push_back({first_, row});
    if (tokens_ > kManyEqualRows) found.back().last = row;
  }

 private:
  std::int64_t first_ = 0, tokens_ = 0;
};

/// Of numbers that look like something else than what they are read as.
[[noreturn]] void refuse_looks(const std::string& where, const std::string& found, const std::string& allowed) {
  throw AmbiguousInputError(AmbiguousInputError::Doubt::kValues, where, found + "; allowed: " + allowed);
}

/// Said, or told by the layer's name.
bool holds_probabilities(const TraceSource& source, const LayerEntry& layer) {
  if (layer.is_top_k()) return false;
  return source.values == TraceValues::kProbabilities ||
         (source.values == TraceValues::kTold && is_named_probabilities(layer.name));
}

/// 1 and what rounding may add to it: two steps of the dtype, as of a quotient of rounded numbers.
double largest_score(const std::string& dtype) {
  if (dtype == "F16") return 1.0 + 2 * 0x1p-10;
  if (dtype == "BF16") return 1.0 + 2 * 0x1p-7;
  return 1.0 + 2 * 0x1p-23;
}

/// What an unsigned type has for "none"; -1 of the signed ones.
std::int64_t largest_of(const std::string& dtype) {
  if (dtype == "U8") return std::numeric_limits<std::uint8_t>::max();
  if (dtype == "U16") return std::numeric_limits<std::uint16_t>::max();
  if (dtype == "U32") return std::numeric_limits<std::uint32_t>::max();
  return -1;
}

/// What a layer is read with.
struct ReadRules {
  const TraceSource& source;
  std::int64_t experts = 0;
  std::int64_t all_rows = 0;
  Scoring scoring = Scoring::kSoftmax;
  std::int64_t top_k = 0;
  bool probabilities = false;

  bool leaves_padding_out() const { return source.mask == kPadding; }
};

/// Reads rows of one part of a layer behind those that are there.
class PartReader {
 public:
  PartReader(const ReadRules& rules, const LayerPart& part, std::int64_t rows_before, TraceLayer& layer)
      : rules_(rules), part_(part), rows_before_(rows_before), layer_(layer) {}

  void read(std::int64_t first, std::int64_t count) {
    read_mask(first, count);
    first_ = first;
    if (part_.ids) {
      read_top_k(first, count);
    } else {
      read_values(first, count);
    }
  }

 private:
  std::int64_t layer_row(std::int64_t row) const { return rows_before_ + row; }
  bool is_masked(std::int64_t row) const { return !masked_.empty() && masked_[static_cast<std::size_t>(row - first_)]; }

  void read_mask(std::int64_t first, std::int64_t count) {
    if (!part_.mask) return;
    const TensorEntry& mask = *part_.mask;
    const std::int64_t bytes_each = dtype_bits(mask.dtype) / 8;
    std::vector<std::byte> bytes(static_cast<std::size_t>(count * bytes_each));
    mask.file->read(mask.offset_bytes + first * bytes_each, bytes);
    const FloatLoader load = float_loader(mask.dtype);
    const bool marks_padding = rules_.source.mask_marks == MaskMarks::kPadding;
    for (std::int64_t i = 0; i < count; ++i) {
      masked_.push_back((load(bytes.data() + i * bytes_each) != 0) == marks_padding);
    }
  }

  void keep(std::int64_t row, bool repeats) {
    watch_.add(layer_row(row), repeats, layer_.equal);
    ++layer_.tokens;
  }

  // ---- Logits and probabilities

  void read_values(std::int64_t first, std::int64_t count) {
    const auto width = static_cast<std::size_t>(part_.values->columns);
    RowBlocks blocks(*part_.values);
    const FloatLoader load = float_loader(part_.values->tensor.dtype);
    std::vector<double> values(width);
    std::vector<float> before;
    blocks.for_each(first, count, [&](std::int64_t row, std::span<const std::byte> bytes) {
      if (is_masked(row)) {
        ++layer_.masked;
        return;
      }
      load_all(bytes, load, values);
      if (is_padding(blocks, row, values)) {
        ++layer_.masked;
        return;
      }
      const std::size_t begin = layer_.logits.size();
      rules_.probabilities ? add_probabilities(blocks, row, values) : add_logits(blocks, row, values);
      const auto own = std::span(layer_.logits).subspan(begin);
      keep(row, std::ranges::equal(own, before));
      before.assign(own.begin(), own.end());
    });
  }

  /// No numbers, or the same for all experts.
  bool is_padding(const RowBlocks& blocks, std::int64_t row, const std::vector<double>& values) const {
    const bool none = std::ranges::all_of(values, [](double value) { return std::isnan(value); });
    if (none && !rules_.leaves_padding_out()) {
      refuse_looks(blocks.at_row(row), "no score but NaN, as padding has", kMaskAllowed);
    }
    if (none || !rules_.leaves_padding_out()) return none;
    const bool equal = std::ranges::all_of(values, [&](double value) { return value == values.front(); });
    return equal && (values.front() == 0 || std::ssize(values) >= kFewestExperts);
  }

  /// All finite; +0 for -0, so that equal logits have equal bits.
  void add_logits(const RowBlocks& blocks, std::int64_t row, const std::vector<double>& values) {
    constexpr double kMost = std::numeric_limits<float>::max();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!(values[i] >= -kMost && values[i] <= kMost)) {
        blocks.refuse(row, static_cast<std::int64_t>(i), number_text(values[i]), "finite fp32 numbers");
      }
      layer_.logits.push_back(static_cast<float>(values[i]) + 0.0f);
    }
  }

  void add_probabilities(const RowBlocks& blocks, std::int64_t row, const std::vector<double>& values) {
    const double largest = largest_score(part_.values->tensor.dtype);
    double sum = 0;
    std::int64_t zeros = 0, ones = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      zeros += values[i] == 0;
      ones += values[i] >= 1;
      if (!(values[i] >= 0 && values[i] <= largest)) {
        refuse_looks(blocks.at_element(row, static_cast<std::int64_t>(i)), number_text(values[i]),
                     "probabilities from 0 to 1; \"values\" in the source says what these are");
      }
      sum += values[i];
      layer_.logits.push_back(logit_of_probability(std::min(values[i], 1.0), rules_.scoring) + 0.0f);
    }
    layer_.sparse += std::ssize(values) - zeros <= rules_.top_k && std::ssize(values) > rules_.top_k;
    layer_.undecided += std::ssize(values) - zeros < rules_.top_k || (rules_.top_k > 0 && ones > rules_.top_k);
    if (rules_.scoring == Scoring::kSoftmax && std::abs(sum - 1) > kSumTolerance) {
      throw InputError(blocks.at_row(row),
                       "probabilities that add up to " + number_text(sum) +
                           "; allowed: 1, as a softmax gives; or \"scoring\": \"sigmoid\" in the router");
    }
  }

  // ---- Top-k

  void read_top_k(std::int64_t first, std::int64_t count) {
    const auto width = static_cast<std::size_t>(part_.ids->columns);
    std::vector<std::int32_t> ids;
    std::vector<char> tokens;  // by row: whether it is one
    read_ids(first, count, ids, tokens);
    std::vector<double> scores;
    if (part_.values) read_scores(first, count, tokens, scores);
    std::size_t before = 0;
    bool any = false;
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      const auto own_ids = std::span(ids).subspan(row * width, width);
      const std::span<const double> own_scores =
          scores.empty() ? std::span<const double>() : std::span<const double>(scores).subspan(row * width, width);
      const bool empty = part_.values && std::ranges::all_of(own_scores, [](double score) { return score == 0; });
      if (tokens[row] == 0 || (empty && rules_.leaves_padding_out())) {
        ++layer_.masked;
        continue;
      }
      const bool repeats =
          any && width > 1 && std::ranges::equal(own_ids, std::span(ids).subspan(before * width, width)) &&
          (scores.empty() ||
           std::ranges::equal(own_scores, std::span<const double>(scores).subspan(before * width, width)));
      keep(first + static_cast<std::int64_t>(row), repeats);
      before = row;
      any = true;
      layer_.chosen.insert(layer_.chosen.end(), own_ids.begin(), own_ids.end());
      for (const double score : own_scores) layer_.scores.push_back(as_share(static_cast<float>(score)));
    }
  }

  void read_ids(std::int64_t first, std::int64_t count, std::vector<std::int32_t>& ids, std::vector<char>& tokens) {
    const TensorEntry& tensor = part_.ids->tensor;
    const auto width = static_cast<std::size_t>(part_.ids->columns);
    RowBlocks blocks(*part_.ids);
    const IntegerLoader load = integer_loader(tensor.dtype);
    const std::int64_t none = largest_of(tensor.dtype);
    std::vector<std::int64_t> row_ids(width), sorted;
    blocks.for_each(first, count, [&](std::int64_t row, std::span<const std::byte> bytes) {
      load_all(bytes, load, row_ids);
      const bool masked = is_masked(row) || is_padding(blocks, row, row_ids, none);
      if (!masked) check_ids(blocks, row, row_ids, sorted);
      tokens.push_back(masked ? 0 : 1);
      for (const std::int64_t id : row_ids) ids.push_back(masked ? 0 : static_cast<std::int32_t>(id));
    });
  }

  /// The same id, which is none of an expert, all over.
  bool is_padding(const RowBlocks& blocks, std::int64_t row, const std::vector<std::int64_t>& ids,
                  std::int64_t none) const {
    const std::int64_t id = ids.front();
    const bool mark = id == -1 || id == rules_.experts || id == none;
    const bool expert = id >= 0 && id < rules_.experts && ids.size() == 1;
    const bool all = std::ranges::all_of(ids, [&](std::int64_t other) { return other == id; });
    if (!mark || expert || !all) return false;
    if (rules_.leaves_padding_out()) return true;
    refuse_looks(blocks.at_element(row, 0), "expert " + std::to_string(id) + ", as padding has",
                 "0 to " + std::to_string(rules_.experts - 1) + ", and " + kMaskAllowed);
  }

  void check_ids(const RowBlocks& blocks, std::int64_t row, const std::vector<std::int64_t>& ids,
                 std::vector<std::int64_t>& sorted) const {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] >= 0 && ids[i] < rules_.experts) continue;
      blocks.refuse(row, static_cast<std::int64_t>(i),
                    "expert " + std::to_string(ids[i]) + (ids[i] == -1 ? " beside others" : ""),
                    "0 to " + std::to_string(rules_.experts - 1));
    }
    sorted = ids;
    std::ranges::sort(sorted);
    const auto twice = std::ranges::adjacent_find(sorted);
    if (twice == sorted.end()) return;
    const auto second = std::find(std::ranges::find(ids, *twice) + 1, ids.end(), *twice);
    blocks.refuse(row, second - ids.begin(), "expert " + std::to_string(*twice) + " for the second time in the row",
                  "distinct experts; or, if these are counts of tokens, a source of kind counts");
  }

  /// All from 0 to 1 once divided by the scale, but for what rounding adds; those of masked rows are 0.
  void read_scores(std::int64_t first, std::int64_t count, const std::vector<char>& tokens,
                   std::vector<double>& scores) {
    const TensorEntry& tensor = part_.values->tensor;
    const auto width = static_cast<std::size_t>(part_.values->columns);
    RowBlocks blocks(*part_.values);
    const FloatLoader load = float_loader(tensor.dtype);
    const double scale = rules_.source.score_scale, largest = largest_score(tensor.dtype);
    std::vector<double> values(width);
    bool above = false;
    blocks.for_each(first, count, [&](std::int64_t row, std::span<const std::byte> bytes) {
      const bool token = tokens[static_cast<std::size_t>(row - first)] != 0;
      load_all(bytes, load, values);
      for (std::size_t i = 0; i < width; ++i) {
        const double score = token ? values[i] / scale : 0.0;
        above = above || score > largest;
        if (!(score >= 0)) blocks.refuse(row, static_cast<std::int64_t>(i), number_text(score), "scores from 0 to 1");
        scores.push_back(score);
      }
    });
    if (above || (rules_.source.values == TraceValues::kTold && count >= kManyRows)) refuse_scaled(scores, width);
    for (std::size_t i = 0; above && i < scores.size(); ++i) {
      if (scores[i] <= largest) continue;
      blocks.refuse(first + static_cast<std::int64_t>(i / width), static_cast<std::int64_t>(i % width),
                    number_text(scores[i]), "scores from 0 to 1");
    }
  }

  /// Rows that all add up to the same number above 1 are shares times a factor.
  void refuse_scaled(const std::vector<double>& scores, std::size_t width) const {
    const std::optional<double> factor = common_sum_above_one(scores, static_cast<std::int64_t>(width));
    if (!factor) return;
    throw InputError(
        place_of(part_.values->tensor),
        "scores that add up to " + number_text(*factor) +
            " in every row, as a routed scaling factor makes them; allowed: scores from 0 to 1; \"score_scale\": " +
            number_text(*factor * rules_.source.score_scale) + " in the source divides by it");
  }

  const ReadRules& rules_;
  const LayerPart& part_;
  const std::int64_t rows_before_;
  TraceLayer& layer_;
  std::int64_t first_ = 0;
  std::vector<bool> masked_;  // by row from first_ on; empty: none is by a tensor
  RepeatWatch watch_;
};

/// One layer, checked as far as headers go.
class LayerReader {
 public:
  LayerReader(const TraceSource& source, const LayerEntry& layer, std::int64_t told, const TraceFacts& facts)
      : layer_(layer), rules_{source,      agreed_experts(layer, told, facts.experts), layer.rows(), facts.scoring,
                              facts.top_k, holds_probabilities(source, layer)} {}

  /// Rows from the layer's `first` on, of which `least` must be tokens.
  TraceLayer read(std::int64_t first, std::int64_t count, std::int64_t least = 1) const {
    TraceLayer result;
    result.tensor = layer_.name;
    result.experts = rules_.experts;
    if (layer_.is_top_k()) result.top_k = layer_.columns();
    std::int64_t before = 0;
    for (const LayerPart& part : layer_.parts) {
      const std::int64_t begin = std::max(first, before), end = std::min(first + count, before + part.view().rows());
      if (begin < end) PartReader(rules_, part, before, result).read(begin - before, end - begin);
      before += part.view().rows();
    }
    if (result.tokens < least) {
      throw InputError(place_of(layer_.parts.front().view().tensor),
                       "rows " + std::to_string(first) + " to " + std::to_string(first + count - 1) +
                           " are all masked; allowed: at least one token");
    }
    if (rules_.probabilities) {
      refuse_sparse(result);
      return result;
    }
    refuse(first, layer_.is_top_k() ? problem_of_scores(result.scores, result.top_k)
                                    : problem_of_logits(result.logits, rules_.experts, rules_.all_rows));
    return result;
  }

 private:
  /// Probabilities of the chosen alone leave the next best unknown.
  void refuse_sparse(const TraceLayer& layer) const {
    if (layer.tokens == 0 || layer.sparse < layer.tokens) return;
    throw InputError(place_of(layer_.parts.front().view().tensor),
                     "no token has more than " + std::to_string(rules_.top_k) +
                         " probabilities above 0, as where only the chosen have theirs; allowed: probabilities of all "
                         "experts, or ids "
                         "and scores of the chosen (numpy.nonzero)");
  }

  void refuse(std::int64_t first, const std::optional<ValueProblem>& problem) const {
    if (!problem || rules_.source.values != TraceValues::kTold) return;
    const bool told = problem->row >= 0 && rules_.source.mask.empty();  // without a mask all rows are there
    const std::string row = told ? ", row " + std::to_string(first + problem->row) : "";
    refuse_looks(place_of(layer_.parts.front().values->tensor) + row, problem->found, problem->allowed);
  }

  const LayerEntry& layer_;
  const ReadRules rules_;
};

// ---- All layers

std::string values_words(const LayerEntry& layer, const TraceSource& source) {
  const LayerPart& part = layer.parts.front();
  if (!layer.is_top_k()) {
    return dtype_words(part.values->tensor.dtype) + (holds_probabilities(source, layer) ? " probabilities" : " logits");
  }
  const std::string ids = dtype_words(part.ids->tensor.dtype) + " ids ";
  return ids + (part.values ? "with " + dtype_words(part.values->tensor.dtype) + " scores" : "without scores");
}

/// Of layers of one shape.
TraceInfo info_of(const TraceLayers& trace, const TraceSource& source) {
  const LayerEntry& model = trace.layers.front();
  TraceInfo info;
  info.known = !model.is_top_k() ? Known::kScores : model.parts.front().values ? Known::kGates : Known::kChoices;
  info.experts = told_experts(trace, model);
  if (model.is_top_k()) info.top_k = model.columns();
  for (const LayerEntry& layer : trace.layers) {
    check_dtypes(layer);
    told_experts(trace, layer);
    if (layer.is_top_k() && model.is_top_k() &&
        layer.parts.front().values.has_value() != model.parts.front().values.has_value()) {
      throw InputError(place_of(layer.parts.front().view().tensor),
                       "scores are beside the ids of some layers alone; allowed: of all, or of none");
    }
    const bool alike =
        layer.rows() == model.rows() && layer.columns() == model.columns() && layer.is_top_k() == model.is_top_k();
    if (!alike) {
      throw InputError(place_of(layer.parts.front().view().tensor),
                       "shape " + shape_text(layer.parts.front().view().shape) + " is not that of the layer " +
                           in_quotes(model.name) + ", " + shape_text(model.parts.front().view().shape) +
                           "; allowed: layers of one shape, all logits or all top-k");
    }
    info.tensors.push_back(layer.name);
  }
  info.tokens = tokens_left(model, source.first_token);
  if (source.first_token == 0) info.steps = model.step_rows;
  info.values = values_words(model, source);
  info.files = trace.files->files.size();
  info.model = trace.model.value_or("");
  if (source.axes.empty()) info.guessed_axes = guessed_axes(model.parts.front().view());
  for (const TensorEntry& tensor : trace.files->files.front().set.tensors) {
    const bool is_mask = tensor.name == "attention_mask" || tensor.name == "padding_mask" || tensor.name == "mask";
    if (is_mask && source.mask.empty()) info.unused_mask = tensor.name;
  }
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
  TraceFacts facts;
  TraceLayers trace;
  TraceInfo info;
  std::unordered_map<std::string_view, const LayerEntry*> layers;  // by name

  LayerReader reader(const LayerEntry& layer) const { return {source, layer, info.experts, facts}; }
};

TraceReader::TraceReader(const TraceSource& source, const TraceFacts& facts)
    : opened_(new Opened{source, facts, open_trace(source, facts.tokens), {}, {}}) {
  opened_->info = info_of(opened_->trace, opened_->source);
  for (const LayerEntry& layer : opened_->trace.layers) opened_->layers.emplace(layer.name, &layer);
}

TraceReader::~TraceReader() = default;

const TraceInfo& TraceReader::info() const { return opened_->info; }

TraceLayer TraceReader::read(const std::string& tensor, RowRange rows) {
  const auto found = opened_->layers.find(tensor);
  if (found == opened_->layers.end()) {
    throw InputError(opened_->source.path, "no tensor matches " + in_quotes(tensor));
  }
  const LayerEntry& layer = *found->second;
  const std::int64_t first = opened_->source.first_token + rows.first;
  const std::int64_t left = layer.rows() - first;
  if (rows.count < 0 || rows.count > left) {
    throw InputError(place_of(layer.parts.front().view().tensor),
                     std::to_string(rows.count) + " tokens from first_token " + std::to_string(first) +
                         " on; allowed: at most " + std::to_string(left) + ", what is left of " +
                         std::to_string(layer.rows()));
  }
  return opened_->reader(layer).read(first, rows.count == 0 ? left : rows.count);
}

void TraceReader::check_start() {
  for (const LayerEntry& layer : opened_->trace.layers) {
    const RowView& view = layer.parts.front().view();
    const std::int64_t row_bytes = view.columns * dtype_bits(view.tensor.dtype) / 8;
    const std::int64_t asked =
        opened_->facts.tokens == 0 ? opened_->info.tokens : std::min(opened_->facts.tokens, opened_->info.tokens);
    opened_->reader(layer).read(opened_->source.first_token,
                                std::min(asked, std::max<std::int64_t>(1, kBlockBytes / row_bytes)), /*least=*/0);
  }
}

TraceInfo inspect_trace(const TraceSource& source) { return TraceReader(source).info(); }

TraceLayer read_trace_layer(const TraceSource& source, const std::string& tensor, std::int64_t tokens,
                            std::int64_t experts) {
  return TraceReader(source, {.experts = experts}).read(tensor, {0, tokens});
}

}  // namespace tatr
