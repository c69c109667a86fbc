// tatr-sim init: writes a config to begin with: a plain one, that of a model that ships, or one for a model's
// config.json of Hugging Face. What the file does not say is told, never taken in silence.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"
#include "config/experiment_schema.hpp"
#include "config/read.hpp"
#include "core/format.hpp"
#include "core/output_file.hpp"
#include "file_kinds.hpp"
#include "json/json_text.hpp"
#include "json/schema_walk.hpp"
#include "output.hpp"
#include "output_names.hpp"
#include "shipped_configs.hpp"

namespace tatr {

namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::int64_t kCpuHidden = 256;  // of the layer that a CPU times in place of the whole

/// A config, and what of it is known from where.
struct Template {  // NOLINT(bugprone-exception-escape): moving a document throws nothing
  Json config;
  std::vector<std::string> read, taken, left_out;  // from the file; in want of it; of the model, but not simulated
};

Json strategies() {
  return {"none",
          "down",
          "nearest",
          {{"name", "budget"}, {"tiles", {{"of_nearest", 0.5}}}, {"label", "half"}},
          {{"name", "budget"}, {"tiles", {{"of_nearest", 0.25}}}, {"label", "quarter"}}};
}

Json layer_of(std::int64_t hidden, std::int64_t intermediate) {
  const std::int64_t scale = std::max<std::int64_t>(1, hidden / kCpuHidden);
  const auto reduced = [&](std::int64_t size) { return std::max<std::int64_t>(8, size / scale / 8 * 8); };
  return {{"hidden", hidden},
          {"intermediate", intermediate},
          {"cpu", {{"hidden", reduced(hidden)}, {"intermediate", reduced(intermediate)}}}};
}

Json config_of(const std::string& name, Json router, std::int64_t hidden, std::int64_t intermediate) {
  Json config = {{"name", name}, {"description", ""}, {"seed", 1}, {"router", std::move(router)}};
  config["router"]["source"] = {{"kind", "lognormal"}, {"sigma", 0.5}};
  config["tile"] = {64, 128};
  config["strategies"] = strategies();
  config["layer"] = layer_of(hidden, intermediate);
  return config;
}

Template plain_template() {
  Json router = {{"tokens", 16384}, {"experts", 64}, {"top_k", 8}, {"scoring", "softmax"}, {"normalise_gates", true}};
  Template made{config_of("experiment", std::move(router), 2048, 1024), {}, {}, {}};
  made.taken = {"every figure is an example: set router and layer to those of your model"};
  return made;
}

/// Reads a model's config.json key by key and keeps book of what it found.
class ModelReader {
 public:
  ModelReader(const nlohmann::json& document, std::string path) : path_(std::move(path)) {
    text_ =
        document.contains("text_config") && document["text_config"].is_object() ? document["text_config"] : document;
  }

  std::int64_t needed(const char* what, const std::vector<const char*>& keys, const std::string& without) {
    for (const char* key : keys) {
      if (!text_.contains(key) || text_[key].is_null()) continue;
      if (!text_[key].is_number_integer() || text_[key] < 1) {
        throw ConfigError({path_, std::string("/") + key}, brief_json(text_[key]), "a whole number from 1 up");
      }
      made_.read.push_back(fmt::format("{} {} ({})", what, text_[key].get<std::int64_t>(), key));
      return text_[key];
    }
    throw ConfigError({path_}, fmt::format("has no {}: {}", fmt::join(keys, ", no "), without));
  }

  void read_scoring(Json& router) {
    const nlohmann::json scoring = text_.value("scoring_func", nlohmann::json());
    if (scoring.is_null()) {
      router["scoring"] = "softmax";
      made_.taken.push_back("/router/scoring softmax: no scoring_func");
    } else if (scoring == "softmax" || scoring == "sigmoid") {
      router["scoring"] = scoring.get<std::string>();
      made_.read.push_back("scoring " + scoring.get<std::string>() + " (scoring_func)");
    } else {
      throw ConfigError({path_, "/scoring_func"}, brief_json(scoring),
                        "\"softmax\" or \"sigmoid\", which can be simulated");
    }
    const nlohmann::json normalised = text_.value("norm_topk_prob", nlohmann::json());
    router["normalise_gates"] = !normalised.is_boolean() || normalised.get<bool>();
    if (normalised.is_boolean()) {
      made_.read.push_back(fmt::format("normalise_gates {} (norm_topk_prob)", normalised.get<bool>()));
    } else {
      made_.taken.push_back("/router/normalise_gates true: no norm_topk_prob");
    }
  }

  void read_groups(Json& router) {
    const std::int64_t groups =
        text_.value("n_group", nlohmann::json()).is_number_integer() ? text_["n_group"].get<std::int64_t>() : 0;
    const std::string method =
        text_.value("topk_method", nlohmann::json()).is_string() ? text_["topk_method"].get<std::string>() : "";
    if (groups > 1 && method != "greedy") {
      const std::int64_t top = needed("groups chosen", {"topk_group"}, "n_group needs it");
      router["groups"] = {{"count", groups}, {"top", top}};
      made_.read.push_back(fmt::format("groups {} (n_group)", groups));
      if (method == "group_limited_greedy") router["groups"]["group_score"] = "max";
      if (method.empty()) made_.taken.push_back("/router/groups/group_score top2_sum: no topk_method");
    }
    if (method == "noaux_tc") {
      router["selection_bias"] = 0;
      made_.taken.push_back("/router/selection_bias 0: the trained one is part of the weights");
    }
  }

  void note_rest() {
    for (const auto& [key, what] : {std::pair("n_shared_experts", "shared experts"),
                                    std::pair("shared_expert_intermediate_size", "shared expert"),
                                    std::pair("routed_scaling_factor", "scale of routed experts")}) {
      if (text_.contains(key) && text_[key].is_number() && text_[key] != 0 &&
          (text_[key] != 1.0 || std::string_view(key) != "routed_scaling_factor")) {
        made_.left_out.push_back(fmt::format("{} ({} {})", what, key, text_[key].dump()));
      }
    }
  }

  Template make() {
    const std::string dense =
        "no mixture of experts, or one whose keys are not known; tatr-sim init --out FILE writes a config to fill in";
    Json router = {{"tokens", 16384}};
    router["experts"] =
        needed("experts", {"num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"}, dense);
    router["top_k"] =
        needed("top_k", {"num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts"},
               "how many experts a token goes to is not known; tatr-sim init --out FILE writes a config to fill in");
    read_scoring(router);
    read_groups(router);
    const std::int64_t hidden = needed("hidden", {"hidden_size", "d_model"}, "the layer's width is not known");
    const bool own = text_.contains("moe_intermediate_size");
    const std::int64_t intermediate =
        needed("intermediate", {"moe_intermediate_size", "intermediate_size"}, "the experts' width is not known");
    if (!own)
      made_.taken.push_back(
          "/layer/intermediate from intermediate_size, the experts' own in models without moe_intermediate_size");
    note_rest();
    made_.taken.push_back(
        "/router/tokens 16384 and synthetic logits (lognormal): no config.json says what a router does");
    made_.config = config_of(name(), std::move(router), hidden, intermediate);
    return made_;
  }

 private:
  std::string name() const {
    const nlohmann::json given = text_.value("_name_or_path", nlohmann::json());
    if (given.is_string() && !given.get_ref<const std::string&>().empty())
      return fs::path(given.get<std::string>()).filename().string();
    const fs::path file = fs::absolute(path_);
    if (file.stem() != "config") return file.stem().string();
    const nlohmann::json type = text_.value("model_type", nlohmann::json());
    return type.is_string() ? type.get<std::string>() : "model";
  }

  std::string path_;
  nlohmann::json text_;
  Template made_;
};

std::string plain_name(const std::string& name) {
  std::string letters;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return letters;
}

std::optional<Template> shipped_template(const std::string& model) {
  for (const ShippedConfig& config : shipped_configs()) {
    if (!config.name.starts_with("models/") || plain_name(config.path.stem().string()) != plain_name(model)) continue;
    std::ifstream stream(config.path);
    Template made{Json::parse(stream), {}, {}, {}};
    made.read = {"a copy of " + config.path.string()};
    return made;
  }
  return std::nullopt;
}

[[noreturn]] void refuse_model(const std::string& from) {
  const std::vector<std::string> models = shipped_models();
  std::vector<std::string> near;
  for (const std::string& model : models) {
    if (plain_name(model).starts_with(plain_name(from))) near.push_back(model);
  }
  if (near.empty() && !nearest_name(from, models).empty()) near.push_back(nearest_name(from, models));
  throw UsageError(fmt::format(
      "--from {}: no such model or file; {}", from,
      near.empty()
          ? fmt::format("expected one of {}, or a model's config.json of Hugging Face", fmt::join(models, ", "))
          : fmt::format("did you mean {}?", fmt::join(near, " or "))));
}

Template template_of(const std::string& from) {
  if (from.empty()) return plain_template();
  if (const auto shipped = shipped_template(from)) return *shipped;
  switch (kind_of_file(from)) {
    case FileKind::kMissing:
      refuse_model(from);
    case FileKind::kConfig:
      throw UsageError(from + ": is a config already; tatr-sim run " + shell_word(from));
    case FileKind::kResult:
    case FileKind::kResults:
      throw UsageError(
          from + ": is a result; expected a model's config.json of Hugging Face, or a name of tatr-sim list configs");
    case FileKind::kModelConfig:
      return ModelReader(read_json_file(from), from).make();
    default:
      throw UsageError(from + ": is no config.json of a model; expected one of Hugging Face, or one of " +
                       fmt::format("{}", fmt::join(shipped_models(), ", ")));
  }
}

/// Where an editor finds the schema, as the config in `folder` names it; empty where the program stands alone.
std::string schema_path(const fs::path& folder) {
  const fs::path shipped = shipped_folder();
  if (shipped.empty()) return {};
  const fs::path schema = shipped / "docs" / "experiment.schema.json";
  const fs::path relative = schema.lexically_relative(fs::absolute(folder).lexically_normal());
  const bool inside = !fs::absolute(folder).lexically_normal().lexically_relative(shipped).empty() &&
                      *fs::absolute(folder).lexically_normal().lexically_relative(shipped).begin() != "..";
  return inside ? relative.string() : schema.string();
}

std::string joined(const std::vector<std::string>& parts) { return fmt::format("{}", fmt::join(parts, "; ")); }

std::string first_clause(const std::string& text) { return text.substr(0, text.find_first_of(":;.")); }

/// For each value of the config, what the schema says that it is.
void explain(const nlohmann::json& schema, const Json& value, const std::string& pointer, Table& table) {
  for (const auto& [key, one] : value.items()) {
    const nlohmann::json properties = schema.value("properties", nlohmann::json::object());
    if (!properties.contains(key) || key == "$schema" || key == "description") continue;
    nlohmann::json inner = properties[key];
    if (inner.contains("oneOf")) {
      const nlohmann::json choices = inner["oneOf"];
      for (const auto& choice : choices) {
        const std::string name = choice.value("$ref", "");
        const nlohmann::json object =
            name.empty() ? choice : experiment_schema()[nlohmann::json::json_pointer(name.substr(1))];
        if (object.value("type", "") == "object")
          inner["properties"] = object.value("properties", nlohmann::json::object());
      }
    }
    const std::string description = inner.value("description", "");
    const std::string place = fmt::format("{}/{}", pointer, key);
    if (one.is_object() && key != "source" && key != "cpu") {
      explain(inner, one, place, table);
    } else {
      table.add_row({place, shorten(one.dump(), 14), shorten(first_clause(description), 36)});
    }
  }
}

std::string told(const Template& made, const std::string& out) {
  std::string text = out + ": written";
  const Json& router = made.config["router"];
  text += fmt::format(", {}: {} experts, top-{}", made.config["name"].get<std::string>(), router["experts"].dump(),
                      router["top_k"].dump());
  if (made.config.contains("layer")) {
    text += fmt::format(", layer {} x {}", made.config["layer"]["hidden"].dump(),
                        made.config["layer"]["intermediate"].dump());
  }
  text += "\n";
  if (!made.read.empty()) text += wrap("Read: " + joined(made.read), 2, 2);
  if (!made.taken.empty()) text += wrap("Taken, check it: " + joined(made.taken), 2, 2);
  if (!made.left_out.empty()) text += wrap("Left out: " + joined(made.left_out), 2, 2);
  Table table({"Value", "Here", "What it is"});
  explain(experiment_schema(), made.config, "", table);
  text += "\n" + table.render();
  text += "  All that a config may hold: tatr-sim schema, tatr-sim list strategies\n\n";
  if (out == "-") return text;
  const std::string file = shell_word(out);
  return text + fmt::format(
                    "Next: tatr-sim run {} --device model:h100\n"
                    "  with a trace of your own for router.source: tatr-sim run TRACE --save-config FILE\n",
                    file);
}

/// Beside a model's own file, never in place of it.
std::string default_name(const std::string& stem, const std::string& from) {
  const std::string name = (stem == "config" ? "experiment" : stem) + ".json";
  return name == from ? stem + "_experiment.json" : name;
}

struct InitArguments {
  std::string from, out;
};

ExitCode init(const InitArguments& arguments) {
  const std::string stem = arguments.from.empty() ? "experiment" : fs::path(arguments.from).stem().string();
  check_name("--out", FileContent::kJson, arguments.out);
  const std::string out = arguments.out.empty() ? default_name(stem, arguments.from) : arguments.out;
  Template made = template_of(arguments.from);
  std::error_code error;
  if (out != "-" && fs::exists(out, error)) {
    throw UsageError(out + ": is there already; tatr-sim init writes a new file: --out " + "NAME.json");
  }
  const fs::path folder = out == "-" ? fs::current_path() : fs::absolute(out).parent_path();
  Json config;
  if (const std::string schema = schema_path(folder); !schema.empty()) config["$schema"] = schema;
  made.config.erase("$schema");
  if (made.config["description"] == "") {
    made.config["description"] = arguments.from.empty()
                                     ? "Written by tatr-sim init; every figure is an example."
                                     : "From " + arguments.from + ": " + joined(made.read) +
                                           ". Taken: " + joined(made.taken) +
                                           (made.left_out.empty() ? "." : ". Left out: " + joined(made.left_out) + ".");
  }
  config.update(made.config);
  parse_experiment(nlohmann::json(config),
                   arguments.from.empty() ? out : arguments.from);  // before anything is written
  OutputFile file(out);
  file.commit(config.dump(2) + "\n");
  print_all(told(made, out), out == "-" ? stderr : stdout);
  return ExitCode::kDone;
}

}  // namespace

void add_init(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<InitArguments>();
  CLI::App* command = app.add_subcommand("init", "Write a config to begin with, plain or for a model");
  command->add_option("--from", arguments->from, "A shipped model (olmoe, …), or a config.json of Hugging Face")
      ->type_name("FILE");
  command->add_option("--out", arguments->out, "The new file (default: named after the model); - is stdout")
      ->type_name("FILE");
  command->footer("Refuses to replace a file. What the model's file does not say is told on the terminal.");
  command->callback([arguments, &action] { action = [arguments] { return init(*arguments); }; });
}

}  // namespace tatr
