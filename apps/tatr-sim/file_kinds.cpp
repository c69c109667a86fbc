#include "file_kinds.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "json/schema_walk.hpp"
#include "shipped_configs.hpp"

namespace tatr {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::size_t kMostBytes = 1 << 20;

bool has_any(const json& object, std::initializer_list<const char*> keys) {
  return std::any_of(keys.begin(), keys.end(), [&](const char* key) { return object.contains(key); });
}

FileKind kind_of_object(const json& object) {
  if (has_any(object, {"schema_version", "experiments"})) return FileKind::kResult;
  if (has_any(object, {"router", "strategies"})) return FileKind::kConfig;
  if (has_any(object, {"multiprocessors", "ceilings"})) return FileKind::kDevice;
  if (has_any(object, {"covers", "cross_validation"})) return FileKind::kCalibration;
  if (has_any(object, {"architectures", "model_type", "hidden_size"})) return FileKind::kModelConfig;
  const auto schema = object.find("$schema");
  if (schema != object.end() && has_any(object, {"properties", "definitions"})) return FileKind::kSchema;
  return FileKind::kUnknown;
}

FileKind kind_of_lines(const std::string& text) {
  const json first = json::parse(text.substr(0, text.find('\n')), nullptr, false);
  if (!first.is_object()) return FileKind::kUnknown;
  const FileKind kind = kind_of_object(first);
  return kind == FileKind::kResult ? FileKind::kResults : kind == FileKind::kConfig ? FileKind::kConfigs : kind;
}

FileKind kind_of_text(const std::string& text, const std::string& ending) {
  if (ending == ".yaml" || ending == ".yml") return FileKind::kYaml;
  if (ending == ".toml") return FileKind::kToml;
  if (text.starts_with("<!doctype html") || text.starts_with("<!DOCTYPE html")) return FileKind::kPage;
  const json whole = json::parse(text, nullptr, false);
  if (whole.is_object()) return kind_of_object(whole);
  if (whole.is_array() && !whole.empty() && whole[0].is_object()) {
    return kind_of_object(whole[0]) == FileKind::kConfig ? FileKind::kConfigs : FileKind::kUnknown;
  }
  if (text.starts_with('{')) {
    if (const FileKind kind = kind_of_lines(text); kind != FileKind::kUnknown) return kind;
    return text.size() > kMostBytes && text.find("\"schema_version\"") < 4096 ? FileKind::kResult : FileKind::kUnknown;
  }
  const std::string head = text.substr(0, text.find('\n'));
  return head.find("config_hash") != std::string::npos && head.find(',') != std::string::npos ? FileKind::kTable
                                                                                              : FileKind::kUnknown;
}

/// Whether a folder that is named by its last part has a file whose name is near.
void add_near(const fs::path& folder, const std::string& name, std::vector<std::string>& found) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, error)) {
    if (names.size() == 10000) break;
    if (!entry.is_directory(error)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& one : names) {
    if (one.starts_with(name + ".")) found.push_back((folder / one).string());
  }
  const std::string near = nearest_name(name, names);
  if (!near.empty()) found.push_back((folder / near).string());
}

}  // namespace

FileKind kind_of_file(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return FileKind::kMissing;
  if (fs::is_directory(status)) return FileKind::kFolder;
  if (!fs::is_regular_file(status)) return FileKind::kUnknown;
  std::ifstream stream(path, std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return kind_of_text(text, fs::path(path).extension().string());
}

std::vector<std::string> near_files(const std::string& path) {
  const fs::path wanted(path);
  const std::string name = wanted.filename().string();
  const fs::path folder = wanted.parent_path();
  std::vector<std::string> found;
  std::error_code error;
  for (const char* folder_name : {"configs", "configs/models"}) {
    const fs::path inner(folder_name);
    for (const std::string& ending : {std::string(), std::string(".json")}) {
      if (fs::is_regular_file(inner / (name + ending), error)) found.push_back((inner / (name + ending)).string());
    }
  }
  if (folder.empty() || fs::is_directory(folder, error)) add_near(folder, name, found);
  for (const ShippedConfig& config : shipped_configs()) {
    const std::string file = config.path.filename().string();
    if (config.name.starts_with("models/") && file != name) continue;  // `init --from` takes these
    if (file == name || config.path.stem() == name) found.push_back(seen_from_here(config.path));
  }
  return found;
}

}  // namespace tatr
