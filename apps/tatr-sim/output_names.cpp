#include "output_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace tatr {

namespace {

struct Kind {
  std::string_view what;
  std::vector<std::string_view> endings;
};

/// In the order of FileContent; behind these what nothing here writes.
const std::array<Kind, 7>& kinds() {
  static const std::array<Kind, 7> kKinds = {{
      {"a JSON file", {".json", ".jsonl", ".ndjson"}},
      {"a CSV table", {".csv"}},
      {"a Markdown table", {".md", ".markdown"}},
      {"an HTML page", {".html", ".htm", ".xhtml"}},
      {"a picture (scripts/plot.py draws them)", {".png", ".svg", ".pdf", ".jpg", ".jpeg", ".gif", ".webp"}},
      {"a file in YAML or TOML (a config is JSON)", {".yaml", ".yml", ".toml"}},
      {"an array", {".npy", ".npz", ".safetensors", ".parquet", ".pt"}},
  }};
  return kKinds;
}

std::string ending_of(const std::string& path) {
  std::string ending = std::filesystem::path(path).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending;
}

std::string refusal(FileContent content, const std::string& path) {
  const auto own = static_cast<std::size_t>(content);
  const std::string ending = ending_of(path);
  for (std::size_t i = 0; i < kinds().size(); ++i) {
    const auto& endings = kinds()[i].endings;
    if (i == own || std::find(endings.begin(), endings.end(), ending) == endings.end()) continue;
    const std::string other = std::filesystem::path(path).replace_extension(kinds()[own].endings.front()).string();
    return fmt::format("{} is the name of {}, but {} is written; expected a name such as {}", path, kinds()[i].what,
                       kinds()[own].what, other);
  }
  return {};
}

}  // namespace

void check_name(const std::string& option, FileContent content, const std::string& path) {
  const std::string refused = refusal(content, path);
  if (!refused.empty()) throw UsageError(option + ": " + refused);
}

}  // namespace tatr
