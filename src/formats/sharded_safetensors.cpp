#include "formats/sharded_safetensors.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "formats/compressed.hpp"
#include "json/json_text.hpp"

namespace tatr {
namespace {

using nlohmann::json;

constexpr std::size_t kMostIndexBytes = 64 << 20;

json parse_index(const BinaryFile& index) {
  try {
    return parse_json_text(index.first_bytes(kMostIndexBytes + 1), index.path(), kMostIndexBytes);
  } catch (const ConfigError& error) {
    throw InputError(error.place().text(), error.problem());
  }
}

/// Metadata that are said in more than one way are none.
class Metadata {
 public:
  void add(const std::string& key, const std::string& value) {
    const auto [entry, is_new] = said_.emplace(key, value);
    if (!is_new && entry->second != value) unclear_.insert(key);
  }
  std::map<std::string, std::string> take() {
    for (const std::string& key : unclear_) said_.erase(key);
    return std::move(said_);
  }

 private:
  std::map<std::string, std::string> said_;
  std::set<std::string> unclear_;
};

/// File -> the tensors that it must have.
std::map<std::string, std::set<std::string>> files_of(const json& document, const std::string& path) {
  const auto map = document.is_object() ? document.find("weight_map") : document.end();
  if (!document.is_object() || map == document.end() || !map->is_object()) {
    throw InputError(path, R"(no index of safetensors; allowed: {"weight_map": {TENSOR: FILE}})");
  }
  std::map<std::string, std::set<std::string>> files;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string_view("/\0", 2)) != name.npos) {
      throw InputError(path + ":/weight_map: tensor " + in_quotes(tensor),
                       brief_json(file) + "; allowed: the name of a file beside the index, without a folder");
    }
    files[name].insert(tensor);
  }
  return files;
}

}  // namespace

SafetensorsHeader read_sharded_safetensors(const BinaryFile& index, const TensorLimits& limits) {
  const json document = parse_index(index);
  const auto files = files_of(document, index.path());
  Metadata metadata;
  if (const auto said = document.find("metadata"); said != document.end() && said->is_object()) {
    for (const auto& [key, value] : said->items()) {
      metadata.add(key, value.is_string() ? value.get<std::string>() : brief_json(value));
    }
  }
  SafetensorsHeader all;
  for (const auto& [name, wanted] : files) {
    const std::string path = (std::filesystem::path(index.path()).parent_path() / name).string();
    const std::shared_ptr<BinaryFile> file = open_unpacked(path, limits).file;
    SafetensorsHeader own = read_safetensors_header(*file);
    for (const auto& [key, value] : own.metadata) metadata.add(key, value);
    std::set<std::string> missing = wanted;
    for (TensorEntry& tensor : own.tensors) {
      if (missing.erase(tensor.name) == 0) {
        throw InputError(index.path() + ":/weight_map", "lacks tensor " + in_quotes(tensor.name) + ", which " +
                                                            in_quotes(name) +
                                                            " has; allowed: all tensors of its files");
      }
      tensor.file = file;
      all.tensors.push_back(std::move(tensor));
    }
    if (!missing.empty()) {
      throw InputError(index.path() + ":/weight_map: tensor " + in_quotes(*missing.begin()),
                       "is not in " + in_quotes(name) + ", which should have it");
    }
  }
  all.metadata = metadata.take();
  return all;
}

}  // namespace tatr
