#include "libtatr/rounder_options.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "config/read.hpp"
#include "core/error.hpp"
#include "json/json_text.hpp"

namespace tatr {

namespace {

using nlohmann::json;

constexpr const char* kFile = "options";

[[noreturn]] void refuse(const std::string& pointer, const json& value, const std::string& allowed) {
  throw ConfigError({kFile, pointer}, brief_json(value), allowed);
}

[[noreturn]] void refuse_key(const std::string& key) {
  throw ConfigError(kFile, "key " + brief_json(key) +
                               " is not allowed; expected router, strategy, tile, device, dtype, seed, layer, threads");
}

void check_keys(const json& options) {
  constexpr std::array<std::string_view, 8> kKeys = {"router", "strategy", "tile",  "device",
                                                     "dtype",  "seed",     "layer", "threads"};
  if (!options.is_object()) refuse("", options, "an object");
  for (const auto& [key, value] : options.items()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) refuse_key(key);
  }
  for (const char* key : {"router", "strategy", "tile"}) {
    if (!options.contains(key)) throw ConfigError(kFile, "required key \"" + std::string(key) + "\" is missing");
  }
  if (!options["tile"].is_number_integer()) refuse("/tile", options["tile"], "a whole number");
  const json& router = options["router"];
  if (!router.is_object()) return;  // the schema says so
  for (const char* key : {"source", "batches"}) {
    if (router.contains(key)) refuse("/router/" + std::string(key), router[key], "none: data are given to the rounder");
  }
}

std::int64_t whole_number(const json& options, const char* key, std::int64_t least, std::int64_t most,
                          std::int64_t otherwise) {
  if (!options.contains(key)) return otherwise;
  const json& value = options[key];
  if (!value.is_number_integer() || value < least || value > most) {
    refuse("/" + std::string(key), value,
           "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value.get<std::int64_t>();
}

std::optional<int> read_device(const json& options) {
  const json device = options.value("device", json("cpu"));
  if (device == "cpu") return std::nullopt;
  const std::string name = device.is_string() ? device.get<std::string>() : "";
  const std::string number = name.rfind("cuda:", 0) == 0 ? name.substr(5) : "";
  if (number.empty() || number.size() > 3 || number.find_first_not_of("0123456789") != std::string::npos) {
    refuse("/device", device, R"("cpu" or "cuda:0", "cuda:1" ...)");
  }
  return std::stoi(number);
}

/// An experiment that has this router and this strategy, for its reader to check.
json experiment_of(const json& options, bool bf16) {
  json router = options["router"];
  if (router.is_object()) {
    if (bf16 && router.value("logits", json("bf16")) != "bf16") {
      refuse("/router/logits", router["logits"], "\"bf16\", for the logits given are");
    }
    if (bf16) router["logits"] = "bf16";
    router["source"] = {{"kind", "gaussian"}};
  }
  return {{"name", "libtatr"},
          {"router", router},
          {"tile", options["tile"]},
          {"strategies", json::array({options["strategy"]})},
          {"seed", options.value("seed", json(0))}};
}

/// The place in the options that a place in that experiment stands for.
ErrorPlace place_in_options(ErrorPlace place) {
  const std::string experiment = "/strategies/0";
  if (place.pointer.rfind(experiment, 0) == 0) place.pointer.replace(0, experiment.size(), "/strategy");
  return place;
}

}  // namespace

RounderOptions read_rounder_options(const std::string& text) {
  const json options = parse_json_text(text, kFile);
  check_keys(options);
  RounderOptions read;
  const json dtype = options.value("dtype", json("fp32"));
  if (dtype != "fp32" && dtype != "bf16") refuse("/dtype", dtype, "\"fp32\" or \"bf16\"");
  read.bf16 = dtype == "bf16";
  read.cuda = read_device(options);
  read.layer = whole_number(options, "layer", 0, INT32_MAX, 0);
  if (options.contains("threads")) read.cpu_threads = static_cast<int>(whole_number(options, "threads", 1, 1024, 1));
  try {
    ExperimentConfig experiment = parse_experiment(experiment_of(options, read.bf16), kFile);
    read.router = experiment.router;
    read.strategy = experiment.strategies.front();
    read.strategy.place = place_in_options(read.strategy.place);
    read.tile = experiment.tiles.front();
    read.seed = experiment.seed;
  } catch (const ConfigError& error) {
    throw ConfigError(place_in_options(error.place()), error.problem());
  }
  return read;
}

}  // namespace tatr
