#include "source/trace_layers.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "source/element.hpp"
#include "source/names.hpp"

namespace tatr {
namespace {

constexpr auto kIdNames =
    std::to_array<std::string_view>({"topk_ids", "topk_indices", "indices", "selected_experts", "topk_idx",
                                     "top_indices", "routed_experts", "topk_experts"});
constexpr auto kScoreNames =
    std::to_array<std::string_view>({"topk_scores", "topk_weights", "scores", "probs", "routing_weights"});
constexpr auto kProbabilityNames = std::to_array<std::string_view>(
    {"probs", "probabilities", "router_probs", "routing_probs", "router_probabilities"});
constexpr std::string_view kDefaultTensor = "router_logits";
constexpr std::string_view kUnnamedPair = "topk";

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::ranges::count(names, name) != 0;
}

template <std::size_t N>
std::string list_of(const std::array<std::string_view, N>& names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

bool is_integer(const std::string& dtype) { return dtype[0] == 'I' || dtype[0] == 'U'; }

/// Tensors that could be layers, as a file names them.
struct Candidate {
  std::string name;
  std::optional<TensorEntry> values, ids;
  bool named_ids = false;    // ids have a name that frameworks use
  bool lone_scores = false;  // named as scores, with no ids beside
};

/// Of one file.
struct Candidates {
  std::vector<Candidate> all;
  std::string where;     // for errors
  bool unnamed = false;  // one array without a name
};

std::int64_t metadata_experts(const TensorSet& set) {
  const auto entry = set.metadata.find("experts");
  if (entry == set.metadata.end()) return 0;
  const std::string& text = entry->second;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > kMostInt32) {
    throw InputError(set.path + ": metadata 'experts'",
                     in_quotes(text) + "; allowed: a whole number from 1 to " + std::to_string(kMostInt32));
  }
  return value;
}

/// Ids and scores that share a prefix.
struct Pair {
  std::vector<const TensorEntry*> ids, scores;
};

void add_pair(Candidates& found, const std::string& name, const Pair& pair) {
  if (pair.ids.size() > 1 || pair.scores.size() > 1) {
    throw InputError(found.where + ": tensors " + in_quotes(name + ".*"),
                     "more than one tensor of ids or of scores; allowed: one of " + list_of(kIdNames) + " and one of " +
                         list_of(kScoreNames) + "; or \"tensors\" in the source, which names them");
  }
  if (pair.ids.empty()) {
    found.all.push_back({.name = pair.scores[0]->name, .values = *pair.scores[0], .ids = {}, .lone_scores = true});
    return;
  }
  Candidate candidate{.name = name, .values = {}, .ids = *pair.ids[0], .named_ids = true};
  if (!pair.scores.empty()) candidate.values = *pair.scores[0];
  found.all.push_back(std::move(candidate));
}

/// By the names that frameworks use.
Candidates find_by_known_names(const TensorSet& set, TraceValues said) {
  Candidates found{{}, set.path};
  std::map<std::string, Pair> pairs;
  std::vector<const TensorEntry*> others;
  for (const TensorEntry& tensor : set.tensors) {
    const std::string_view own = last_part(tensor.name);
    const std::string prefix = own.size() == tensor.name.size()
                                   ? std::string(kUnnamedPair)
                                   : tensor.name.substr(0, tensor.name.size() - own.size() - 1);
    if (is_one_of(kIdNames, own)) {
      pairs[prefix].ids.push_back(&tensor);
    } else if (is_one_of(kScoreNames, own)) {
      pairs[prefix].scores.push_back(&tensor);
    } else {
      others.push_back(&tensor);
    }
  }
  for (const auto& [prefix, pair] : pairs) add_pair(found, prefix, pair);
  for (const TensorEntry* tensor : others) {
    if (pairs.contains(tensor->name) && !pairs[tensor->name].ids.empty()) {
      throw InputError(set.path + ": tensor " + in_quotes(tensor->name),
                       "there is a pair of ids and scores of the same name; allowed: one of the two");
    }
    const bool ids = is_integer(tensor->dtype) && said != TraceValues::kLogits && said != TraceValues::kProbabilities;
    TensorEntry named = *tensor;
    if (named.name.empty()) {
      named.name = ids ? kUnnamedPair : kDefaultTensor;
      found.unnamed = set.tensors.size() == 1;
    }
    Candidate candidate{.name = named.name, .values = {}, .ids = {}};
    (ids ? candidate.ids : candidate.values) = std::move(named);
    found.all.push_back(std::move(candidate));
  }
  return found;
}

/// As "tensors" in the source names them.
Candidates find_by_said_names(const TensorSet& set, const TensorNames& names) {
  Candidates found{{}, set.path};
  const bool several = names.ids.find('*') != std::string::npos;
  for (const TensorEntry& tensor : set.tensors) {
    const auto star = star_of(names.ids, tensor.name);
    if (!star) continue;
    Candidate candidate{.name = several ? *star : names.ids, .values = {}, .ids = tensor};
    const auto beside = std::ranges::find_if(set.tensors, [&](const TensorEntry& other) {
      return !names.scores.empty() && star_of(names.scores, other.name) == star;
    });
    if (beside != set.tensors.end()) candidate.values = *beside;
    if (!names.scores.empty() && !candidate.values) {
      throw InputError(place_of(tensor),
                       "no scores " + in_quotes(names.scores) +
                           " are beside it; allowed: a tensor of scores for each of ids, or no \"scores\"");
    }
    found.all.push_back(std::move(candidate));
  }
  return found;
}

std::string some_names(const Candidates& found) {
  constexpr std::size_t kShown = 5;
  if (found.all.empty()) return "the file has no tensors";
  std::vector<std::string> names;
  for (const Candidate& candidate : found.all) names.push_back(candidate.name);
  std::ranges::sort(names, natural_less);
  std::string text = "the file has ";
  for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i) text += (i == 0 ? "" : ", ") + in_quotes(names[i]);
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

void check_not_lone(const Candidates& found, const Candidate& candidate, TraceValues said) {
  if (!candidate.lone_scores || said == TraceValues::kProbabilities || said == TraceValues::kLogits) return;
  if (is_named_probabilities(candidate.name)) return;
  throw InputError(found.where + ": tensor " + in_quotes(candidate.name), "its other half is missing; allowed: ids (" +
                                                                              list_of(kIdNames) + ") beside scores (" +
                                                                              list_of(kScoreNames) + ")");
}

/// Where the default is not there: what ends in its name; else what is named logits, a top-k or probabilities, if that
/// is one of these alone.
std::vector<const Candidate*> find_default(const Candidates& found) {
  std::vector<const Candidate*> usual, logits, top_k, probabilities;
  for (const Candidate& candidate : found.all) {
    if (last_part(candidate.name) == kDefaultTensor) usual.push_back(&candidate);
    if (candidate.named_ids) {
      top_k.push_back(&candidate);
    } else if (candidate.ids) {
      continue;  // integers of any meaning
    } else if (last_part(candidate.name).find("logits") != std::string_view::npos) {
      logits.push_back(&candidate);
    } else if (is_named_probabilities(candidate.name)) {
      probabilities.push_back(&candidate);
    }
  }
  if (!usual.empty()) return usual;
  const std::vector<const Candidate*>* only = nullptr;
  for (const auto* kind : {&logits, &top_k, &probabilities}) {
    if (kind->empty()) continue;
    if (only != nullptr) {
      throw InputError(found.where, "holds " + in_quotes(only->front()->name) + " and " +
                                        in_quotes(kind->front()->name) +
                                        "; \"tensor\" in the source says which are the router's");
    }
    only = kind;
  }
  return only != nullptr ? *only : logits;
}

std::vector<const Candidate*> select(const Candidates& found, const TraceSource& source) {
  std::vector<const Candidate*> selected;
  const auto all = [&] {
    for (const Candidate& candidate : found.all) selected.push_back(&candidate);
  };
  if (source.tensors.empty()) throw InputError(found.where, "no tensor is named; " + some_names(found));
  if (!source.names.ids.empty()) {
    all();
    if (selected.empty()) throw InputError(found.where, "no tensor matches " + in_quotes(source.names.ids));
    return selected;
  }
  if (found.unnamed) {  // what its layers are called is matched later
    all();
    return selected;
  }
  const bool by_default = source.tensors == std::vector{std::string(kDefaultTensor)};
  for (const std::string& pattern : source.tensors) {
    const std::size_t before = selected.size();
    for (const Candidate& candidate : found.all) {
      if (matches(pattern, candidate.name)) selected.push_back(&candidate);
    }
    if (selected.size() == before && by_default) selected = find_default(found);
    if (selected.size() == before) {
      for (const Candidate& candidate : found.all) {  // scores without ids are named by their layer, too
        if (candidate.lone_scores && matches(pattern, candidate.name.substr(0, candidate.name.rfind('.'))))
          check_not_lone(found, candidate, source.values);
      }
      throw InputError(found.where, "no tensor matches " + in_quotes(pattern) + "; " + some_names(found));
    }
  }
  std::ranges::sort(selected);
  selected.erase(std::unique(selected.begin(), selected.end()), selected.end());
  for (const Candidate* candidate : selected) check_not_lone(found, *candidate, source.values);
  return selected;
}

// ---- From candidates to layers

std::optional<TensorEntry> mask_of(const TensorSet& set, const TraceSource& source) {
  if (source.mask.empty() || source.mask == "padding") return std::nullopt;
  const auto found =
      std::ranges::find_if(set.tensors, [&](const TensorEntry& tensor) { return tensor.name == source.mask; });
  if (found == set.tensors.end())
    throw InputError(set.path, "no tensor is named " + in_quotes(source.mask) + ", the mask of the source");
  return *found;
}

void check_mask(const TensorEntry& mask, const RowView& view) {
  if (!is_number(mask.dtype))
    throw InputError(place_of(mask), "dtype " + mask.dtype + "; allowed: whole numbers or BOOL");
  if (view.outer > 1 && view.inner_stride > view.outer_stride) {
    throw InputError(place_of(mask),
                     "a mask beside an axis of steps that comes after the tokens; allowed: steps before tokens");
  }
  std::int64_t elements = 0;
  if (checked_product(mask.shape, 1, elements) && elements == view.rows()) return;
  throw InputError(place_of(mask), "shape " + shape_text(mask.shape) + "; allowed: one value for each of the " +
                                       std::to_string(view.rows()) + " tokens");
}

void check_pair(const RowView& ids, const RowView& scores) {
  if (ids.tensor.shape == scores.tensor.shape) return;
  throw InputError(place_of(scores.tensor), "shape " + shape_text(scores.tensor.shape) +
                                                "; allowed: " + shape_text(ids.tensor.shape) + ", that of " +
                                                in_quotes(ids.tensor.name));
}

/// What the config says of the values against what the tensors are.
void check_said(const Candidate& candidate, TraceValues said) {
  if (candidate.ids && (said == TraceValues::kLogits || said == TraceValues::kProbabilities)) {
    const char* word = said == TraceValues::kLogits ? "logits" : "probabilities";
    throw InputError(place_of(candidate.values ? *candidate.values : *candidate.ids),
                     std::string(candidate.values ? "top-k scores" : "top-k ids") + ", but \"values\" says " + word +
                         "; allowed: \"top_k\", or none");
  }
  if (!candidate.ids && said == TraceValues::kTopK) {
    throw InputError(place_of(*candidate.values),
                     "has no ids beside it, but \"values\" says top_k; allowed: \"logits\", or none");
  }
}

void add_steps(LayerEntry& layer, const RowView& view, const RecordFiles& files, const std::vector<Axis>& axes) {
  const bool axis = std::ranges::count(axes, Axis::kSteps) != 0;
  if (axis && files.by_rank) return;  // each rank has its part of every step
  if (axis) layer.step_rows.insert(layer.step_rows.end(), static_cast<std::size_t>(view.outer), view.inner);
  if (!axis && files.by_step) layer.step_rows.push_back(view.rows());
}

/// All layers that a candidate holds.
std::vector<LayerEntry> layers_of_candidate(const Candidate& candidate, const TraceSource& source,
                                            const RecordFiles& files, const std::optional<TensorEntry>& mask,
                                            std::int64_t tokens) {
  check_said(candidate, source.values);
  const Axis last = candidate.ids ? Axis::kTopK : Axis::kExperts;
  const TensorEntry& leading = candidate.ids ? *candidate.ids : *candidate.values;
  const std::vector<Axis> axes = axes_of(leading, source.axes, last, tokens);
  const std::vector<RowView> views = layers_of(leading, axes);
  std::vector<RowView> scores;
  if (candidate.ids && candidate.values) {
    scores = layers_of(*candidate.values, axes_of(*candidate.values, source.axes, last, tokens));
    check_pair(views.front(), scores.front());
  }
  std::vector<LayerEntry> layers;
  for (std::size_t i = 0; i < views.size(); ++i) {
    LayerPart part;
    (candidate.ids ? part.ids : part.values) = views[i];
    if (!scores.empty()) part.values = scores[i];
    if (mask) check_mask(*mask, views[i]);
    part.mask = mask;
    LayerEntry layer{
        views[i].layer.empty() ? candidate.name : "layers." + views[i].layer + "." + candidate.name, {part}, {}};
    add_steps(layer, views[i], files, axes);
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::vector<LayerEntry> layers_of_file(const RecordFile& file, const TraceSource& source, const RecordFiles& files,
                                       std::int64_t tokens) {
  const Candidates found = source.names.ids.empty() ? find_by_known_names(file.set, source.values)
                                                    : find_by_said_names(file.set, source.names);
  const std::optional<TensorEntry> mask = mask_of(file.set, source);
  std::vector<LayerEntry> layers;
  for (const Candidate* candidate : select(found, source)) {
    for (LayerEntry& layer : layers_of_candidate(*candidate, source, files, mask, tokens)) {
      if (file.layer) layer.name = "layers." + std::to_string(*file.layer) + "." + layer.name;
      layer.step = file.step;
      layers.push_back(std::move(layer));
    }
  }
  const bool by_default = source.tensors == std::vector{std::string(kDefaultTensor)};
  if (!found.unnamed || by_default || !source.names.ids.empty()) return layers;
  const auto is_named = [&](const LayerEntry& layer) {
    return std::ranges::any_of(source.tensors,
                               [&](const std::string& pattern) { return matches(pattern, layer.name); });
  };
  for (const std::string& pattern : source.tensors) {
    if (std::ranges::none_of(layers, [&](const LayerEntry& layer) { return matches(pattern, layer.name); })) {
      throw InputError(found.where,
                       "no tensor matches " + in_quotes(pattern) + "; the file has " + in_quotes(layers.front().name) +
                           (layers.size() > 1 ? " and " + std::to_string(layers.size() - 1) + " more" : ""));
    }
  }
  std::erase_if(layers, [&](const LayerEntry& layer) { return !is_named(layer); });
  return layers;
}

/// Appends the rows of a layer of another file.
void join(LayerEntry& layer, LayerEntry next) {
  const RowView &before = layer.parts.back().view(), &view = next.parts.front().view();
  const bool alike = layer.is_top_k() == next.is_top_k() && layer.columns() == next.columns() &&
                     layer.parts.back().values.has_value() == next.parts.front().values.has_value();
  if (!alike) {
    throw InputError(place_of(view.tensor), "shape " + shape_text(view.tensor.shape) + " does not continue " +
                                                place_of(before.tensor) + ", " + shape_text(before.tensor.shape) +
                                                "; allowed: files of one shape but for their tokens");
  }
  layer.parts.insert(layer.parts.end(), next.parts.begin(), next.parts.end());
  if (next.step == layer.step && !layer.step_rows.empty()) {  // another rank of it
    layer.step_rows.back() += next.rows();
  } else {
    layer.step_rows.insert(layer.step_rows.end(), next.step_rows.begin(), next.step_rows.end());
  }
  layer.step = next.step;
}

void agree_on_experts(TraceLayers& trace, const TensorSet& set) {
  const std::int64_t own = metadata_experts(set);
  if (own != 0 && trace.experts != 0 && own != trace.experts) {
    throw InputError(set.path + ": metadata 'experts'",
                     std::to_string(own) + "; allowed: " + std::to_string(trace.experts) + ", as in the files before");
  }
  if (own != 0) trace.experts = own;
}

void agree_on_model(TraceLayers& trace, const TensorSet& set) {
  const auto named = set.metadata.find("model");
  if (named == set.metadata.end() || named->second.empty()) return;
  if (!trace.model) trace.model = named->second;
  if (*trace.model != named->second) trace.model = "";
}

}  // namespace

std::int64_t LayerEntry::rows() const {
  std::int64_t sum = 0;
  for (const LayerPart& part : parts) sum += part.view().rows();
  return sum;
}

bool is_named_top_k(const std::string& name) {
  return is_one_of(kIdNames, last_part(name)) || is_one_of(kScoreNames, last_part(name));
}

bool is_named_probabilities(const std::string& name) { return is_one_of(kProbabilityNames, last_part(name)); }

TraceLayers open_trace(const TraceSource& source, std::int64_t tokens) {
  TraceLayers trace;
  trace.files = open_record(source.path, source.each_file);
  const std::vector<RecordFile>& files = trace.files->files;
  const bool joined = trace.files->by_step || trace.files->by_rank;
  std::map<std::string, std::size_t> places;
  std::map<std::string, std::size_t> times;  // that a layer was met
  for (const RecordFile& file : files) {
    agree_on_experts(trace, file.set);
    agree_on_model(trace, file.set);
    for (LayerEntry& layer : layers_of_file(file, source, *trace.files, joined ? 0 : tokens)) {
      const auto [known, is_new] = places.emplace(layer.name, trace.layers.size());
      ++times[layer.name];
      if (is_new) {
        trace.layers.push_back(std::move(layer));
      } else if (joined) {
        join(trace.layers[known->second], std::move(layer));
      } else {
        throw InputError(file.set.path,
                         "has the layer " + in_quotes(layer.name) + ", as a file before; allowed: a layer once");
      }
    }
  }
  for (const auto& [name, count] : times) {
    if (count == times.begin()->second) continue;
    throw InputError(source.path, "its files do not all have the layer " +
                                      in_quotes(count < times.begin()->second ? name : times.begin()->first) +
                                      "; allowed: the same layers in each step and rank");
  }
  std::ranges::sort(trace.layers,
                    [](const LayerEntry& a, const LayerEntry& b) { return natural_less(a.name, b.name); });
  return trace;
}

}  // namespace tatr
