// The configs that come with the program: in its source tree, or installed beside it under share/tatr-sim.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tatr {

struct ShippedConfig {
  std::filesystem::path path;
  std::string name;         // "quick", "models/olmoe"
  std::string description;  // the first sentence of its own
};

/// Where configs and docs/experiment.schema.json lie; empty where the program stands alone.
std::filesystem::path shipped_folder();

/// All that can be run, sorted by name, those of models last.
std::vector<ShippedConfig> shipped_configs();

/// "olmoe" for "models/olmoe", of every one in configs/models.
std::vector<std::string> shipped_models();

/// The path as a user in the working directory would write it.
std::string seen_from_here(const std::filesystem::path& path);

}  // namespace tatr
