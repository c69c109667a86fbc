#include "source/counts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "router/routing.hpp"
#include "source/element.hpp"
#include "source/names.hpp"
#include "source/record_files.hpp"
#include "source/record_view.hpp"
#include "source/trace_layers.hpp"

namespace tatr {

namespace {

constexpr std::int64_t kBlockElements = 65'536;
constexpr std::int64_t kMostCounts = std::int64_t{1}
                                     << 28;  // of all layers and steps together: they are kept in memory

constexpr std::int64_t kMostRows = 1 << 20;  // layers times steps

/// Reads all elements of an array: visit(i, value).
template <class Visit>
void for_each_element(const TensorEntry& tensor, Visit visit) {
  const std::int64_t size = dtype_bits(tensor.dtype) / 8;
  if (!is_number(tensor.dtype)) {
    throw InputError(place_of(tensor),
                     "dtype " + tensor.dtype + "; allowed: whole numbers, or floats of 16 bits or more");
  }
  const FloatLoader load = float_loader(tensor.dtype);
  const std::int64_t count = tensor.size_bytes / size;
  std::vector<std::byte> bytes;
  for (std::int64_t begin = 0; begin < count; begin += kBlockElements) {
    const std::int64_t block = std::min(kBlockElements, count - begin);
    bytes.resize(static_cast<std::size_t>(block * size));
    tensor.file->read(tensor.offset_bytes + begin * size, bytes);
    for (std::int64_t i = 0; i < block; ++i) visit(begin + i, load(bytes.data() + i * size));
  }
}

[[noreturn]] void refuse_value(const TensorEntry& tensor, std::int64_t i, double value, const std::string& allowed) {
  throw InputError(place_of(tensor) + ", element " + std::to_string(i), number_text(value) + "; allowed: " + allowed);
}

std::int32_t count_of(const TensorEntry& tensor, std::int64_t i, double value) {
  if (value >= 0 && value <= kMaxCount && value == std::trunc(value)) return static_cast<std::int32_t>(value);
  refuse_value(tensor, i, value, "counts of tokens: whole numbers from 0 to " + std::to_string(kMaxCount));
}

void check_size(const TensorEntry& tensor, std::int64_t elements) {
  if (elements <= kMostCounts) return;
  throw InputError(place_of(tensor),
                   std::to_string(elements) + " counts; allowed: at most " + std::to_string(kMostCounts));
}

bool has_tokens(const Counts& counts) {
  return std::ranges::any_of(counts, [](std::int32_t count) { return count > 0; });
}

// ---- Arrays

/// Lines of an object each: of one layer (formats/record_table.hpp groups them) they are steps; else it must be said.
std::vector<Axis> axes_of_lines(const TensorEntry& tensor) {
  if (tensor.name.starts_with("layers.") || tensor.shape[0] == 1) return {Axis::kSteps, Axis::kExperts};
  throw InputError(place_of(tensor),
                   "lines of counts may be steps or layers; allowed: a field \"layer\" in each; \"axes\" in the "
                   "source says which: [\"steps\", \"experts\"] or [\"layers\", \"experts\"]");
}

std::vector<Axis> axes_of_counts(const TensorEntry& tensor, const std::vector<Axis>& said) {
  static const std::vector<Axis> kBySize[] = {
      {Axis::kExperts}, {Axis::kLayers, Axis::kExperts}, {Axis::kSteps, Axis::kLayers, Axis::kExperts}};
  const std::size_t dimensions = tensor.shape.size();
  if (!said.empty()) {
    const bool fit = said.back() == Axis::kExperts && std::ranges::count(said, Axis::kTokens) == 0 &&
                     std::ranges::count(said, Axis::kTopK) == 0;
    if (!fit) {
      throw InputError(place_of(tensor), "\"axes\" says " + axes_text(said) +
                                             "; allowed for counts: layers and steps, and experts for the last");
    }
    if (said.size() != dimensions)
      throw InputError(place_of(tensor), "shape " + shape_text(tensor.shape) + "; allowed: " + axes_text(said));
  } else if (dimensions < 1 || dimensions > 3) {
    throw InputError(place_of(tensor), "shape " + shape_text(tensor.shape) +
                                           "; allowed: [experts], [layers, experts] or [steps, layers, experts]");
  }
  const bool lines = said.empty() && tensor.of_lines && !tensor.name.empty() && dimensions == 2;
  const std::vector<Axis> axes = lines ? axes_of_lines(tensor) : said.empty() ? kBySize[dimensions - 1] : said;
  for (std::size_t i = 0; i < dimensions; ++i) {
    const std::int64_t most = axes[i] == Axis::kLayers    ? kMostLayers
                              : axes[i] == Axis::kExperts ? kMaxExperts
                                                          : kMostInt32;
    if (tensor.shape[i] >= 1 && tensor.shape[i] <= most) continue;
    throw InputError(place_of(tensor), "shape " + shape_text(tensor.shape) + " of " + axes_text(axes) + " has " +
                                           std::to_string(tensor.shape[i]) + " " +
                                           kAxisWords.begin()[static_cast<int>(axes[i])] + "; allowed: 1 to " +
                                           std::to_string(most) + "; \"axes\" in the source says what dimensions are");
  }
  return axes;
}

/// A first line of 0, 1, 2, … is a head that looks like counts.
void check_no_head(const TensorEntry& tensor, const std::vector<CountsLayer>& layers) {
  if (!tensor.of_lines || layers.size() < 2 || layers.front().steps.size() != 1) return;
  const Counts& first = layers.front().steps.front();
  std::int32_t next = 0;
  if (first.size() < 3 || !std::ranges::all_of(first, [&](std::int32_t count) { return count == next++; })) return;
  throw InputError(place_of(tensor),
                   "its first line is 0, 1, 2, …, as the numbers of columns are; allowed: counts alone");
}

/// Zeros and ones in many rows are which expert each token chose, unless it is said that rows are layers.
void check_no_mask(const TensorEntry& tensor, const std::vector<CountsLayer>& layers) {
  const auto is_mask = [](const CountsLayer& layer) {
    return std::ranges::all_of(layer.steps, [](const Counts& counts) {
      return std::ranges::all_of(counts, [](std::int32_t count) { return count <= 1; });
    });
  };
  const bool any = std::ranges::any_of(
      layers, [](const CountsLayer& layer) { return std::ranges::any_of(layer.steps, has_tokens); });
  if (tensor.shape.size() != 2 || layers.size() < 2 || !any || !std::ranges::all_of(layers, is_mask)) return;
  throw InputError(
      place_of(tensor),
      "zeros and ones alone, as a mask of each token's choices has them; allowed: counts of tokens (\"axes\" in "
      "the source says that these are: [\"layers\", \"experts\"]), or ids of experts, numpy.nonzero(mask)[1]");
}

std::vector<CountsLayer> layers_of_array(const TensorEntry& tensor, const std::vector<Axis>& axes) {
  const AxisLayout layout(tensor, axes);
  check_size(tensor, layout.elements());
  const std::int64_t rows = layout.elements() / layout.size(Axis::kExperts);
  if (rows > kMostRows) {
    throw InputError(place_of(tensor), "shape " + shape_text(tensor.shape) + " has " + std::to_string(rows) +
                                           " steps and layers together; allowed: at most " + std::to_string(kMostRows));
  }
  const auto size = [&](Axis axis) { return static_cast<std::size_t>(layout.size(axis)); };
  std::vector<CountsLayer> layers(size(Axis::kLayers));
  const std::string name = tensor.name.empty() ? "counts" : tensor.name;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    layers[l].name = layout.has(Axis::kLayers) ? "layers." + std::to_string(l) + "." + name : name;
    layers[l].steps.assign(size(Axis::kSteps), Counts(size(Axis::kExperts)));
  }
  for_each_element(tensor, [&](std::int64_t i, double value) {
    const auto index = [&](Axis axis) { return static_cast<std::size_t>(layout.index(axis, i)); };
    layers[index(Axis::kLayers)].steps[index(Axis::kSteps)][index(Axis::kExperts)] = count_of(tensor, i, value);
  });
  return layers;
}

// ---- Lines

constexpr auto kExpertFields = std::to_array<std::string_view>({"expert_id", "expert", "expert_idx"});
constexpr auto kCountFields =
    std::to_array<std::string_view>({"count", "counts", "tokens", "num_tokens", "token_count"});
constexpr auto kLayerFields = std::to_array<std::string_view>({"layer_id", "layer", "layer_idx"});
constexpr auto kStepFields = std::to_array<std::string_view>({"step", "step_id", "iteration"});

template <std::size_t N>
const TensorEntry* field_of(const TensorSet& set, const std::array<std::string_view, N>& names) {
  const TensorEntry* found = nullptr;
  for (const TensorEntry& tensor : set.tensors) {
    if (tensor.shape.size() != 1 || std::ranges::count(names, tensor.name) == 0) continue;
    if (found != nullptr) {
      throw InputError(set.path, "has the fields " + in_quotes(found->name) + " and " + in_quotes(tensor.name) +
                                     ", which mean the same; allowed: one of them");
    }
    found = &tensor;
  }
  return found;
}

std::vector<std::int64_t> numbers_of(const TensorEntry* field, std::size_t lines) {
  if (field == nullptr) return std::vector<std::int64_t>(lines, 0);
  std::vector<std::int64_t> numbers;
  for_each_element(*field, [&](std::int64_t i, double value) {
    if (!(value >= 0 && value <= static_cast<double>(kMostInt32) && value == std::trunc(value))) {
      refuse_value(*field, i, value, "whole numbers from 0 to " + std::to_string(kMostInt32));
    }
    numbers.push_back(static_cast<std::int64_t>(value));
  });
  if (numbers.size() != lines) throw InputError(place_of(*field), "is not as long as the counts");
  return numbers;
}

std::vector<CountsLayer> layers_of_lines(const TensorSet& set, const TensorEntry& expert, const TensorEntry& count,
                                         std::int64_t experts) {
  const auto lines = static_cast<std::size_t>(count.shape[0]);
  const TensorEntry *layer_field = field_of(set, kLayerFields), *step_field = field_of(set, kStepFields);
  const std::vector<std::int64_t> ids = numbers_of(&expert, lines), layers = numbers_of(layer_field, lines),
                                  steps = numbers_of(step_field, lines);
  std::map<std::int64_t, std::size_t> layer_places, step_places;
  std::int64_t most = -1;
  for (std::size_t i = 0; i < lines; ++i) {
    layer_places[layers[i]] = step_places[steps[i]] = 0;
    most = std::max(most, ids[i]);
  }
  const auto width = static_cast<std::size_t>(experts != 0 ? experts : most + 1);
  if (most >= static_cast<std::int64_t>(width) || most >= kMaxExperts) {
    throw InputError(place_of(expert),
                     "expert " + std::to_string(most) + "; allowed: 0 to " +
                         std::to_string(std::min<std::int64_t>(experts == 0 ? kMaxExperts : experts, kMaxExperts) - 1));
  }
  check_size(count, static_cast<std::int64_t>(layer_places.size() * step_places.size() * width));
  std::vector<CountsLayer> result;
  for (auto& [layer, place] : layer_places) {
    place = result.size();
    result.push_back({layer_field == nullptr ? "counts" : "layers." + std::to_string(layer),
                      std::vector<Counts>(step_places.size(), Counts(width))});
  }
  std::size_t next = 0;
  for (auto& [step, place] : step_places) place = next++;
  std::vector<bool> seen(layer_places.size() * step_places.size() * width);
  for_each_element(count, [&](std::int64_t i, double value) {
    const auto line = static_cast<std::size_t>(i);
    const std::size_t layer = layer_places[layers[line]], step = step_places[steps[line]];
    const auto expert_id = static_cast<std::size_t>(ids[line]);
    const std::size_t cell = (layer * step_places.size() + step) * width + expert_id;
    if (seen[cell]) {
      throw InputError(
          place_of(count) + ", element " + std::to_string(i),
          "a second count of expert " + std::to_string(ids[line]) + "; allowed: one for each expert, layer and step");
    }
    seen[cell] = true;
    result[layer].steps[step][expert_id] = count_of(count, i, value);
  });
  if (experts == 0 && std::ranges::count(seen, false) > 0) {
    throw InputError(
        set.path,
        "has no line for some experts, so that their number is not known; router.experts in the config says it");
  }
  return result;
}

// ---- Files

std::string without_numbers(std::string name) {
  std::erase_if(name, [](char c) { return c >= '0' && c <= '9'; });
  return name;
}

/// Without a "tensor" in the source, arrays are counts only where their names leave no doubt.
void check_names(const TensorSet& set, const std::vector<const TensorEntry*>& tensors) {
  for (const TensorEntry* tensor : tensors) {
    if (tensor->of_lines && tensor->shape.size() == 1) {
      throw InputError(set.path, "has lines with the field " + in_quotes(tensor->name) +
                                     "; allowed for lines of counts: expert_id and "
                                     "count, and layer_id and step where there are several");
    }
    if (is_named_top_k(tensor->name)) {
      throw InputError(place_of(*tensor), "is named as a top-k is; allowed: counts, or a source of kind trace");
    }
    if (without_numbers(tensor->name) == without_numbers(tensors.front()->name)) continue;
    throw InputError(set.path, "holds " + in_quotes(tensors.front()->name) + " and " + in_quotes(tensor->name) +
                                   "; \"tensor\" in the source says which are counts");
  }
}

/// What the shape alone says of an array of several layers; empty where no axis is one, or has but one.
std::string guess_of(const TensorEntry& tensor, const std::vector<Axis>& axes) {
  const auto layers = std::ranges::find(axes, Axis::kLayers);
  if (layers == axes.end() || tensor.shape[static_cast<std::size_t>(layers - axes.begin())] == 1) return {};
  return "shape " + shape_text(tensor.shape) + " is read as " + axes_text(axes);
}

/// `guessed` is set to the guess of the first array that nobody named the axes of.
std::vector<CountsLayer> layers_of_file(const TensorSet& set, const CountsSource& source, std::int64_t experts,
                                        std::string& guessed) {
  const TensorEntry *expert = field_of(set, kExpertFields), *count = field_of(set, kCountFields);
  if (expert != nullptr && count != nullptr) return layers_of_lines(set, *expert, *count, experts);
  std::vector<const TensorEntry*> tensors;
  for (const TensorEntry& tensor : set.tensors) {
    const auto is_named = [&](const std::string& pattern) { return matches(pattern, tensor.name); };
    if (tensor.name.empty() || std::ranges::any_of(source.tensors, is_named)) tensors.push_back(&tensor);
  }
  if (source.tensors == CountsSource().tensors) check_names(set, tensors);
  std::vector<CountsLayer> layers;
  for (const TensorEntry* tensor : tensors) {
    const std::vector<Axis> axes = axes_of_counts(*tensor, source.axes);
    std::vector<CountsLayer> own = layers_of_array(*tensor, axes);
    if (source.axes.empty()) {
      if (guessed.empty()) guessed = guess_of(*tensor, axes);
      check_no_mask(*tensor, own);
      check_no_head(*tensor, own);
    }
    std::ranges::move(own, std::back_inserter(layers));
  }
  if (layers.empty()) {
    std::string patterns;
    for (const std::string& pattern : source.tensors) patterns += (patterns.empty() ? "" : ", ") + in_quotes(pattern);
    throw InputError(set.path,
                     "no tensor matches " + patterns +
                         (set.tensors.empty() ? "" : "; the file has " + in_quotes(set.tensors.front().name)));
  }
  return layers;
}

/// Joined over files: layers side by side, steps one after the other.
std::vector<CountsLayer> all_layers(const RecordFiles& files, const CountsSource& source, std::int64_t experts,
                                    std::string& guessed) {
  if (files.by_rank) {
    throw InputError(files.path,
                     "counts of ranks do not tell whether they add up; allowed: files of layers or steps "
                     "(\"each_file\" in the source)");
  }
  std::vector<CountsLayer> layers;
  std::map<std::string, std::size_t> places;
  for (const RecordFile& file : files.files) {
    for (CountsLayer& layer : layers_of_file(file.set, source, experts, guessed)) {
      if (file.layer) layer.name = "layers." + std::to_string(*file.layer) + "." + layer.name;
      const auto [known, is_new] = places.emplace(layer.name, layers.size());
      if (is_new) {
        layers.push_back(std::move(layer));
        continue;
      }
      if (!files.by_step)
        throw InputError(file.set.path,
                         "has the layer " + in_quotes(layer.name) + " for the second time; allowed: a layer once");
      std::ranges::move(layer.steps, std::back_inserter(layers[known->second].steps));
    }
  }
  std::ranges::stable_sort(layers,
                           [](const CountsLayer& a, const CountsLayer& b) { return natural_less(a.name, b.name); });
  return layers;
}

void leave_idle_out(CountsRecord& record) {
  const std::size_t before = record.layers.size();
  std::erase_if(record.layers, [](const CountsLayer& layer) { return std::ranges::none_of(layer.steps, has_tokens); });
  record.idle_layers = static_cast<std::int64_t>(before - record.layers.size());
  if (record.layers.empty()) return;
  const std::size_t steps = record.layers.front().steps.size();
  std::vector<bool> idle(steps);
  for (std::size_t s = 0; s < steps; ++s) {
    idle[s] = std::ranges::none_of(record.layers, [&](const CountsLayer& layer) { return has_tokens(layer.steps[s]); });
    record.idle_steps += idle[s];
  }
  for (CountsLayer& layer : record.layers) {
    std::size_t s = 0;
    std::erase_if(layer.steps, [&](const Counts&) { return idle[s++]; });
  }
}

void check_shapes(const std::vector<CountsLayer>& layers, const std::string& path) {
  const auto experts_of = [](const CountsLayer& layer) { return layer.steps.front().size(); };
  const CountsLayer& model = layers.front();
  for (const CountsLayer& layer : layers) {
    const auto fits = [&](const Counts& counts) { return counts.size() == experts_of(model); };
    if (layer.steps.size() == model.steps.size() && std::ranges::all_of(layer.steps, fits)) continue;
    throw InputError(path, "the layer " + in_quotes(layer.name) + " is of " + std::to_string(layer.steps.size()) +
                               " steps and " + std::to_string(experts_of(layer)) + " experts, " +
                               in_quotes(model.name) + " of " + std::to_string(model.steps.size()) + " and " +
                               std::to_string(experts_of(model)) +
                               "; allowed: layers of one shape; \"tensor\" in the source chooses some");
  }
}

CountsRecord counts_of(const RecordFiles& files, const CountsSource& source, std::int64_t experts) {
  CountsRecord record;
  record.layers = all_layers(files, source, experts, record.guessed_axes);
  record.files = files.files.size();
  check_shapes(record.layers, source.path);
  record.experts = std::ssize(record.layers.front().steps.front());
  if (experts != 0 && experts != record.experts) {
    throw InputError(source.path, "the config says " + std::to_string(experts) +
                                      " experts; allowed: " + std::to_string(record.experts) + ", as in the file");
  }
  leave_idle_out(record);
  if (record.layers.empty()) {
    throw InputError(source.path, "no expert has any tokens; allowed: counts that are not all 0");
  }
  record.steps = std::ssize(record.layers.front().steps);
  return record;
}

}  // namespace

CountsRecord read_counts(const CountsSource& source, std::int64_t experts) { return *shared_counts(source, experts); }

std::shared_ptr<const CountsRecord> shared_counts(const CountsSource& source, std::int64_t experts) {
  static std::mutex mutex;
  static struct {
    std::weak_ptr<const RecordFiles> files;
    CountsSource source;
    std::int64_t experts = 0;
    std::shared_ptr<const CountsRecord> record;
  } last;
  const std::lock_guard lock(mutex);
  const auto files = open_record(source.path, source.each_file);
  const bool same = last.record && last.files.lock() == files && last.source.tensors == source.tensors &&
                    last.source.axes == source.axes && (experts == last.experts || experts == last.record->experts);
  if (!same) {
    auto record = std::make_shared<const CountsRecord>(counts_of(*files, source, experts));
    last = {files, source, experts, std::move(record)};
  }
  return last.record;
}

void add_to(Digest& digest, const CountsRecord& record) {
  for (const CountsLayer& layer : record.layers) {
    digest.add_values(layer.name);
    for (const Counts& counts : layer.steps) digest.add_values(counts);
  }
}

}  // namespace tatr
