#include "formats/tensor_set.hpp"

#include <algorithm>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "formats/compressed.hpp"
#include "formats/csv.hpp"
#include "formats/foreign.hpp"
#include "formats/json_tensors.hpp"
#include "formats/npy.hpp"
#include "formats/npz.hpp"
#include "formats/safetensors.hpp"
#include "formats/sharded_safetensors.hpp"

namespace tatr {
namespace {

enum class Format { kSafetensors, kSharded, kNpy, kNpz, kJsonLines, kJson, kCsv };

const char* name_of(Format format) {
  switch (format) {
    case Format::kSafetensors:
      return "safetensors";
    case Format::kSharded:
      return "sharded safetensors";
    case Format::kNpy:
      return ".npy";
    case Format::kNpz:
      return ".npz";
    case Format::kJsonLines:
      return "JSON lines";
    case Format::kJson:
      return "JSON";
    case Format::kCsv:
      return "CSV";
  }
  return "";
}

/// The last part of the path in small letters, without the ending of what it is compressed with.
std::string plain_name(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  for (const std::string_view ending : {".gz", ".zst"}) {
    if (name.ends_with(ending)) return name.substr(0, name.size() - ending.size());
  }
  return name;
}

struct Ending {
  std::string_view text;
  Format format;
};

/// Null where the name tells no format.
const Ending* ending_of(const std::string& path) {
  static constexpr Ending kEndings[] = {{".index.json", Format::kSharded},
                                        {".json", Format::kJson},
                                        {".jsonl", Format::kJsonLines},
                                        {".ndjson", Format::kJsonLines},
                                        {".csv", Format::kCsv},
                                        {".npy", Format::kNpy},
                                        {".npz", Format::kNpz},
                                        {".safetensors", Format::kSafetensors}};
  const std::string name = plain_name(path);
  const auto* found = std::ranges::find_if(kEndings, [&](const Ending& ending) { return name.ends_with(ending.text); });
  return found == std::end(kEndings) ? nullptr : found;
}

Format format_of(const std::string& path, const BinaryFile& file) {
  const std::string first = file.first_bytes(kHeaderStart);
  if (starts_as_safetensors(first)) return Format::kSafetensors;
  if (is_npy(file)) return Format::kNpy;
  if (first.starts_with("PK\x03\x04") || first.starts_with("PK\x05\x06")) return Format::kNpz;
  if (const Foreign foreign = foreign_format(first); foreign != Foreign::kNone) refuse_foreign(path, foreign);
  if (const Ending* ending = ending_of(path); ending != nullptr) return ending->format;
  refuse_foreign(path, Foreign::kNone);
}

/// Results are JSON, which can name nothing else.
void check_name(const std::string& path, const std::string& name) {
  try {
    static_cast<void>(nlohmann::json(name).dump());
  } catch (const nlohmann::json::type_error&) {
    throw InputError(path, "the name " + in_quotes(name) + " of an array is not UTF-8; allowed: names in UTF-8");
  }
}

}  // namespace

std::string_view format_ending(const std::string& path) {
  const Ending* ending = ending_of(path);
  return ending == nullptr ? std::string_view() : ending->text;
}

TensorSet open_tensors(const std::string& path, const TensorLimits& limits) {
  const UnpackedFile unpacked = open_unpacked(path, limits);
  const BinaryFile& file = *unpacked.file;
  const Format format = format_of(path, file);
  TensorSet set{.path = path, .format = name_of(format), .metadata = {}, .tensors = {}};
  if (!unpacked.compression.empty()) set.format += ", " + unpacked.compression;
  switch (format) {
    case Format::kSafetensors:
    case Format::kSharded: {
      SafetensorsHeader header =
          format == Format::kSharded ? read_sharded_safetensors(file, limits) : read_safetensors_header(file);
      set.metadata = std::move(header.metadata);
      set.tensors = std::move(header.tensors);
      break;
    }
    case Format::kNpy:
      set.tensors.push_back(read_npy_header(file));
      break;
    case Format::kNpz:
      set.tensors = read_npz(file, limits);
      break;
    case Format::kJsonLines:
      set.tensors = read_json_lines(file, limits);
      break;
    case Format::kJson:
      set.tensors = read_json_tensors(file, limits, set.metadata);
      break;
    case Format::kCsv:
      set.tensors = read_csv(file, limits);
      break;
  }
  for (TensorEntry& tensor : set.tensors) {
    check_name(path, tensor.name);
    if (!tensor.file) tensor.file = unpacked.file;
  }
  return set;
}

}  // namespace tatr
