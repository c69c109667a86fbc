// tatr-sim list: what a config may name, what comes with the program, and what this machine has.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "commands.hpp"
#include "config/experiment_schema.hpp"
#include "core/format.hpp"
#include "device/system.hpp"
#include "gemm/registry.hpp"
#include "json/schema_walk.hpp"
#include "model/modelled_device.hpp"
#include "options/options.hpp"
#include "rounding/metrics.hpp"
#include "shipped_configs.hpp"

namespace tatr {

namespace {

using nlohmann::json;

struct ListArguments {
  std::string what, name;
};

constexpr std::array kCatalogues = {"configs", "strategies", "sources", "backends", "metrics", "devices"};

/// Any catalogue whose rows have a name and a line of help; of one row where a name is given.
template <class Rows>
void print_rows(const char* title, const Rows& rows) {
  fmt::print("{}\n", title);
  for (const auto& row : rows) fmt::print("  {:<15}{}\n", row.name, row.help);
}

const json& resolved(const json& schema, const json& node) {
  constexpr std::string_view kStart = "#";
  if (!node.is_object() || !node.contains("$ref")) return node;
  return schema[json::json_pointer(node["$ref"].get<std::string>().substr(kStart.size()))];
}

std::string type_words(const json& property) {
  if (property.contains("enum")) {
    std::vector<std::string> words;
    for (const json& one : property["enum"]) words.push_back(one.is_string() ? one.get<std::string>() : one.dump());
    return fmt::format("{}", fmt::join(words, ", "));
  }
  if (property.contains("oneOf")) {
    std::vector<std::string> words;
    for (const json& one : property["oneOf"]) {
      std::string inner;
      const json properties = one.value("properties", json::object());
      for (const auto& [key, value] : properties.items()) inner += (inner.empty() ? "" : ", ") + key;
      words.push_back(inner.empty() ? type_words(one) : "an object with " + inner);
    }
    return fmt::format("{}", fmt::join(words, "; or "));
  }
  std::string words = property.value("type", "value");
  if (words == "integer" || words == "number") {
    if (property.contains("minimum")) words += " from " + property["minimum"].dump();
    if (property.contains("maximum")) words += " to " + property["maximum"].dump();
  }
  return words == "array" ? "list" : words;
}

void print_option(const std::string& name, const json& property) {
  std::string text = name + ": " + type_words(property);
  if (property.contains("default")) text += "; default " + property["default"].dump();
  if (property.contains("description")) text += ". " + property["description"].get<std::string>();
  fmt::print("{}", wrap(text, 6, 2));
}

/// The options of one kind: the branch of the schema whose condition names it.
void print_options(const json& node, const char* key, const std::string& name, const std::vector<std::string>& common) {
  static const json schema = experiment_schema();
  for (const json& branch : node["allOf"]) {
    const json& wanted = branch["if"]["properties"][key];
    const bool ours = wanted.value("const", json()) == name ||
                      (wanted.contains("enum") &&
                       std::find(wanted["enum"].begin(), wanted["enum"].end(), name) != wanted["enum"].end());
    if (!ours) continue;
    for (const auto& [option, property] : branch["then"]["properties"].items()) {
      if (property.is_boolean() || std::find(common.begin(), common.end(), option) != common.end()) continue;
      print_option(option, resolved(schema, property));
    }
  }
}

template <class Rows>
void check_name(const Rows& rows, const ListArguments& arguments) {
  if (arguments.name.empty()) return;
  std::vector<std::string> names(std::size(rows));
  std::transform(std::begin(rows), std::end(rows), names.begin(),
                 [](const auto& row) { return std::string(row.name); });
  if (std::find(names.begin(), names.end(), arguments.name) != names.end()) return;
  const std::string near = nearest_name(arguments.name, names);
  throw UsageError(
      fmt::format("list {}: '{}' is none of them; {}", arguments.what, arguments.name,
                  near.empty() ? fmt::format("expected {}", fmt::join(names, ", ")) : "did you mean '" + near + "'?"));
}

/// With the options of each, which the schema tells, where it is asked for these alone.
template <class Rows>
void print_with_options(const char* title, const Rows& rows, const json& node, const char* key,
                        const std::vector<std::string>& common, const ListArguments& arguments) {
  if (arguments.what.empty()) return print_rows(title, rows);
  check_name(rows, arguments);
  static const json schema = experiment_schema();
  if (arguments.name.empty()) fmt::print("{}\n", title);
  for (const auto& row : rows) {
    const std::string name(row.name);
    if (!arguments.name.empty() && name != arguments.name) continue;
    fmt::print("  {:<15}{}\n", name, row.help);
    print_options(node, key, name, common);
  }
  fmt::print("{}\n", common.empty() ? "" : "Options of all:");
  for (const std::string& option : common) print_option(option, schema["definitions"][option]);
}

void print_configs(const ListArguments& arguments) {
  const std::vector<ShippedConfig> configs = shipped_configs();
  check_name(configs, arguments);
  if (configs.empty()) {
    fmt::print("Configs: none lie beside this program; they do in its source tree and where it is installed\n");
    return;
  }
  fmt::print("Configs in {}\n", seen_from_here(shipped_folder() / "configs"));
  for (const ShippedConfig& config : configs) {
    if (!arguments.name.empty() && config.name != arguments.name) continue;
    fmt::print("  {:<21}{}\n", config.name,
               arguments.name.empty() ? shorten(config.description, 57) : config.description);
  }
  if (arguments.what.empty()) return;
  const std::string path = seen_from_here(configs.front().path.parent_path() / "quick.json");
  fmt::print("tatr-sim run {} runs one; tatr-sim init --from olmoe makes a copy to change\n", path);
}

void print_metrics() {
  fmt::print("Metrics of rounding\n");
  for (const RoundingMetric& metric : kRoundingMetrics) {
    fmt::print("  {:<26}{} ({})\n", metric.name, metric.help, metric.unit);
  }
}

void print_devices() {
  fmt::print("Devices\n  cpu            {} threads\n", make_cpu_system()->threads());
  for (int i = 0; i < cuda_device_count(); ++i) {
    fmt::print("  cuda:{:<10}{}\n", i, make_cuda_system(i)->device().name);
  }
  for (const std::string& id : shipped_gpu_models()) {
    const GpuModel gpu = read_gpu_model(id);
    const std::string doubt = doubt_of(gpu);
    fmt::print("  {:<17}{}{}\n", "model:" + id, modelled_name(gpu), doubt.empty() ? "" : "; " + doubt);
  }
}

ExitCode list(const ListArguments& arguments) {
  const auto wanted = [&](const char* name) { return arguments.what.empty() || arguments.what == name; };
  if (!arguments.name.empty() &&
      (arguments.what == "backends" || arguments.what == "metrics" || arguments.what == "devices")) {
    throw UsageError("list " + arguments.what + ": '" + arguments.name + "' is one too many; tatr-sim list " +
                     arguments.what);
  }
  const json& schema = experiment_schema();
  if (wanted("strategies")) {
    print_with_options("Strategies", kStrategies, schema["definitions"]["strategy"], "name",
                       {"label", "fill", "added_gate", "renormalise"}, arguments);
  }
  if (wanted("sources")) {
    print_with_options("Sources of router logits", kSources, schema["properties"]["router"]["properties"]["source"],
                       "kind", {}, arguments);
  }
  if (wanted("backends")) print_rows("Back ends of the grouped GEMM in this build", built_back_ends());
  if (wanted("metrics")) print_metrics();
  if (wanted("devices")) print_devices();
  if (wanted("configs")) print_configs(arguments);
  return ExitCode::kDone;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<ListArguments>();
  CLI::App* command = app.add_subcommand("list", "List configs, strategies and sources with their options, and more");
  command->add_option("WHAT", arguments->what, "What to list (default: all, without options)")
      ->type_name("configs|strategies|sources|backends|metrics|devices")
      ->check(CLI::IsMember(std::vector<std::string>(kCatalogues.begin(), kCatalogues.end())).description(""));
  command->add_option("NAME", arguments->name, "Only this one of configs, strategies or sources")->type_name("NAME");
  command->callback([arguments, &action] { action = [arguments] { return list(*arguments); }; });
}

}  // namespace tatr
