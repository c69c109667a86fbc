#include "shipped_configs.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

namespace tatr {

namespace fs = std::filesystem;

namespace {

bool has_configs(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "configs" / "quick.json", error) &&
         fs::exists(folder / "docs" / "experiment.schema.json", error);
}

std::string first_sentence(const std::string& text) {
  std::size_t end = 0;
  while ((end = text.find(". ", end)) != std::string::npos && end < 20) ++end;
  const std::string sentence = text.substr(0, end);
  return sentence.ends_with('.') ? sentence.substr(0, sentence.size() - 1) : sentence;
}

}  // namespace

fs::path shipped_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const fs::path installed = program.parent_path().parent_path() / "share" / "tatr-sim";
  if (has_configs(installed)) return installed;
  fs::path folder = program.parent_path();
  for (int up = 0; up < 4 && folder.has_relative_path(); ++up, folder = folder.parent_path()) {
    if (has_configs(folder)) return folder;
  }
  return {};
}

std::vector<ShippedConfig> shipped_configs() {
  const fs::path folder = shipped_folder();
  std::vector<ShippedConfig> configs;
  if (folder.empty()) return configs;
  for (const char* inner : {"", "models", "parallel"}) {
    std::vector<ShippedConfig> here;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder / "configs" / inner, error)) {
      if (entry.path().extension() != ".json") continue;
      std::ifstream stream(entry.path());
      const auto document = nlohmann::json::parse(stream, nullptr, /*allow_exceptions=*/false);
      if (!document.is_object()) continue;
      const std::string stem = entry.path().stem().string();
      const auto description = document.find("description");
      const bool told = description != document.end() && description->is_string();
      here.push_back({entry.path(), *inner == '\0' ? stem : std::string(inner) + "/" + stem,
                      told ? first_sentence(description->get<std::string>()) : ""});
    }
    std::sort(here.begin(), here.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    configs.insert(configs.end(), here.begin(), here.end());
  }
  return configs;
}

std::vector<std::string> shipped_models() {
  std::vector<std::string> names;
  for (const ShippedConfig& config : shipped_configs()) {
    if (config.name.starts_with("models/")) names.push_back(config.path.stem().string());
  }
  return names;
}

std::string seen_from_here(const fs::path& path) {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  const fs::path relative = fs::absolute(path).lexically_normal().lexically_relative(here);
  return relative.empty() || *relative.begin() == ".." ? path.string() : relative.string();
}

}  // namespace tatr
