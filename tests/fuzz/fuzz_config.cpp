// libFuzzer entry for configs: bytes -> JSON -> schema -> structs. Any outcome but a ConfigError or a config that keeps
// its promises is a fault. Text after a NUL byte is taken as one --set override.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/overrides.hpp"
#include "config/read.hpp"
#include "core/error.hpp"
#include "json/json_text.hpp"

namespace {

void expect(bool held) {
  if (!held) std::abort();
}

void check(const tatr::ExperimentConfig& config) {
  expect(!config.tiles.empty() && !config.strategies.empty() && config.hash.size() == 16);
  for (const std::int64_t tile : config.tiles) expect(tile >= 8 && tile <= 1024 && tile % 8 == 0);
  expect(config.router.experts == 0 || config.router.top_k <= config.router.experts);
  // The effective config is a config, and means the same.
  const auto effective = tatr::parse_json_text(config.effective_json, "effective");
  expect(tatr::parse_experiment(effective, "effective").hash == config.hash);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = input.find('\0');
  try {
    nlohmann::json document = tatr::parse_json_text(input.substr(0, nul), "fuzz");
    if (nul != std::string_view::npos) tatr::apply_override(document, std::string(input.substr(nul + 1)));
    check(tatr::parse_experiment(document, "fuzz"));
  } catch (const tatr::ConfigError& error) {
    expect(std::string_view(error.what()).size() > 4);
  }
  return 0;
}
