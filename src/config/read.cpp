#include "config/read.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "config/overrides.hpp"
#include "config/sweep.hpp"
#include "core/error.hpp"
#include "json/embedded.hpp"
#include "json/json_text.hpp"
#include "json/schema_walk.hpp"
#include "json/validate.hpp"
#include "options/names.hpp"

namespace tatr {

namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& file, const std::string& pointer, const std::string& problem) {
  throw ConfigError(config_place(file, pointer), problem);
}

std::string number(std::int64_t value) { return std::to_string(value); }

/// Place of a word in an enum's list of names; the schema has made sure that it is there.
template <typename Enum, std::size_t N>
Enum enum_of(const std::array<std::string_view, N>& names, const json& word) {
  const auto found = std::find(names.begin(), names.end(), word.get_ref<const std::string&>());
  return static_cast<Enum>(found - names.begin());
}

/// Control characters would garble reports and end file names early.
void check_printable(const json& value, const std::string& pointer, const std::string& file) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    const bool blank = std::all_of(text.begin(), text.end(), [](char c) { return c == ' '; });
    if (blank || std::any_of(text.begin(), text.end(), control)) {
      refuse(file, pointer, brief_json(value) + " is not allowed; expected printable text, not only blanks");
    }
  }
  if (!value.is_structured()) return;
  for (const auto& [key, item] : value.items()) check_printable(item, child_pointer(pointer, key), file);
}

/// One form for what may be written in two: lists of tiles, strategies as objects, lists of tensors.
void spell_out(json& config) {
  config.erase("$schema");
  config.erase("description");
  if (!config["tile"].is_array()) config["tile"] = json::array({config["tile"]});
  for (json& strategy : config["strategies"]) {
    if (strategy.is_string()) strategy = json{{"name", strategy}};
  }
}

void spell_out_defaults(json& config) {
  json& source = config["router"]["source"];
  if (source.contains("tensor") && !source["tensor"].is_array()) source["tensor"] = json::array({source["tensor"]});
  if (source["kind"] == "trained" && !source.contains("round_to")) source["round_to"] = config["tile"][0];
  for (json& strategy : config["strategies"]) {
    if (!strategy.contains("label")) strategy["label"] = strategy["name"];
  }
  json& layer = config["layer"];
  if (layer.is_object() && !layer.contains("cpu")) {
    layer["cpu"] = {{"hidden", layer["hidden"]}, {"intermediate", layer["intermediate"]}};
  }
}

TrainingConfig build_training(const json& from) {
  TrainingConfig training;
  training.hidden = from["hidden"];
  training.noise = from["noise"];
  training.steps = from["steps"];
  training.learning_rate = from["learning_rate"];
  training.balance_weight = from["balance_weight"];
  training.rounding_weight = from["rounding_weight"];
  training.surrogate = from["surrogate"] == "sawtooth" ? RoundingSurrogate::kSawtooth : RoundingSurrogate::kPeriodic;
  training.tile = from["round_to"];
  return training;
}

SourceConfig build_source(const json& from, const std::string& file) {
  SourceConfig source;
  source.kind = enum_of<SourceKind>(kSourceNames, from["kind"]);
  source.deviation = from.value("deviation", source.deviation);
  source.exponent = from.value("exponent", source.exponent);
  source.sigma = from.value("sigma", source.sigma);
  source.topics = from.value("topics", source.topics);
  source.strength = from.value("strength", source.strength);
  source.run = from.value("run", source.run);
  source.hot_experts = from.value("experts", source.hot_experts);
  source.boost = from.value("boost", source.boost);
  source.first_token = from.value("first_token", source.first_token);
  if (source.kind == SourceKind::kTrained) source.training = build_training(from);
  if (source.kind == SourceKind::kTrace) {
    source.file = from["file"];
    source.path = (std::filesystem::path(file).parent_path() / source.file).string();
    source.tensors = from["tensor"].get<std::vector<std::string>>();
    if (from.contains("values")) {
      source.values = from["values"] == "logits" ? TraceValues::kLogits : TraceValues::kTopK;
    }
  }
  return source;
}

/// The gradient that a trained source follows is that of normalised softmax gates of a plain top-k.
void check_trained(const RouterConfig& router, const json& from, const std::string& file) {
  const auto refuse_key = [&](const char* key, const std::string& expected) {
    refuse(file, "/router/" + std::string(key),
           brief_json(from[key]) + " is not allowed with a trained source; expected " + expected);
  };
  if (router.scoring != Scoring::kSoftmax) refuse_key("scoring", "\"softmax\"");
  if (router.logits != LogitType::kFp32) refuse_key("logits", "\"fp32\"");
  if (!router.normalise_gates) refuse_key("normalise_gates", "true");
  if (!router.selection_bias.empty()) refuse_key("selection_bias", "none");
  if (router.groups) refuse_key("groups", "none");
}

RouterConfig build_router(const json& from, const std::string& file) {
  RouterConfig router;
  router.source = build_source(from["source"], file);
  for (const char* key : {"tokens", "experts"}) {
    if (router.source.kind != SourceKind::kTrace && !from.contains(key)) {
      refuse(file, "/router", "required key \"" + std::string(key) + "\" is missing; only a trace can do without it");
    }
  }
  router.tokens = from.value("tokens", std::int64_t{0});
  router.experts = from.value("experts", std::int64_t{0});
  router.top_k = from["top_k"];
  router.scoring = from["scoring"] == "sigmoid" ? Scoring::kSigmoid : Scoring::kSoftmax;
  router.logits = from["logits"] == "bf16" ? LogitType::kBf16 : LogitType::kFp32;
  router.normalise_gates = from["normalise_gates"];
  if (from.contains("selection_bias")) {
    const json& bias = from["selection_bias"];
    router.selection_bias = bias.is_array() ? bias.get<std::vector<double>>() : std::vector<double>{bias.get<double>()};
  }
  if (from.contains("groups")) {
    const json& groups = from["groups"];
    const GroupScore score = groups["group_score"] == "max" ? GroupScore::kMax : GroupScore::kTop2Sum;
    router.groups = ExpertGroups{groups["count"], groups["top"], score};
  }
  if (router.source.kind == SourceKind::kTrained) check_trained(router, from, file);
  check_router(router, file);
  return router;
}

void check_load_steps(const std::vector<TileByLoad>& steps, const std::string& pointer, const std::string& file) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::string place = pointer + "/" + std::to_string(i);
    const bool last = i + 1 == steps.size();
    if (last && steps[i].below)
      refuse(file, place, "the last step must have no \"below\", so that it takes all other experts");
    if (!last && !steps[i].below) refuse(file, place, "required key \"below\" is missing; only the last step has none");
    if (!last && i > 0 && *steps[i].below <= *steps[i - 1].below) {
      refuse(file, place + "/below",
             number(*steps[i].below) + " is not allowed; expected more than the step before, " +
                 number(*steps[i - 1].below));
    }
  }
}

BudgetTiles build_budget(const json& from, const std::string& pointer, const std::string& file) {
  if (from.is_string()) return BudgetAsNearest{};
  if (from.is_number()) return BudgetTotalTiles{from.get<std::int64_t>()};
  const bool waves = from.contains("waves");
  if (from.size() != (waves && from.contains("sms") ? 2 : 1) || (from.contains("sms") && !waves)) {
    refuse(file, pointer,
           brief_json(from) +
               " is not allowed; expected one of \"of_nearest\", \"max_dropped_mass\" and \"waves\" (with "
               "or without \"sms\")");
  }
  if (waves) {
    BudgetWaves size{from["waves"].get<double>(), std::nullopt};
    if (from.contains("sms")) size.sms = from["sms"].get<std::int64_t>();
    return size;
  }
  if (from.contains("of_nearest")) return BudgetOfNearest{from["of_nearest"].get<double>()};
  return BudgetMaxDroppedMass{from["max_dropped_mass"].get<double>()};
}

StrategyConfig build_strategy(const json& from, const std::string& pointer, const std::string& file) {
  constexpr std::array<std::string_view, 3> kFillNames = {"next_best", "duplicate", "pad"};
  StrategyConfig strategy;
  strategy.kind = enum_of<StrategyKind>(kStrategyNames, from["name"]);
  strategy.name = from["name"];
  strategy.label = from["label"];
  strategy.pointer = config_place(file, pointer);
  if (from.contains("fill")) strategy.fill = enum_of<Fill>(kFillNames, from["fill"]);
  if (from.value("added_gate", "score") == "normalised") strategy.added_gate = AddedGate::kNormalised;
  strategy.renormalise = from["renormalise"];
  strategy.threshold = from.value("threshold", strategy.threshold);
  strategy.factor = from.value("factor", strategy.factor);
  if (from.contains("then")) strategy.then = enum_of<StrategyKind>(kStrategyNames, from["then"]);
  for (const json& step : from.value("tiles_by_load", json::array())) {
    TileByLoad by_load{std::nullopt, step["tile"]};
    if (step.contains("below")) by_load.below = step["below"].get<std::int64_t>();
    strategy.tiles_by_load.push_back(by_load);
  }
  check_load_steps(strategy.tiles_by_load, pointer + "/tiles_by_load", file);
  if (strategy.kind == StrategyKind::kBudget) {
    strategy.objective = from["objective"] == "mass" ? BudgetObjective::kMass : BudgetObjective::kMassSquared;
    strategy.candidates =
        from.value("candidates", "") == "tiles" ? BudgetCandidates::kTiles : BudgetCandidates::kRemainders;
    strategy.tiles = build_budget(from["tiles"], pointer + "/tiles", file);
  }
  json unlabelled = from;
  unlabelled.erase("label");
  unlabelled.erase("added_gate");  // strategies that differ by it alone draw alike
  strategy.canonical = unlabelled.dump();
  return strategy;
}

std::vector<StrategyConfig> build_strategies(const json& from, const std::string& file) {
  std::vector<StrategyConfig> strategies;
  for (const json& one : from) {
    const std::string pointer = "/strategies/" + std::to_string(strategies.size());
    StrategyConfig strategy = build_strategy(one, pointer, file);
    for (const StrategyConfig& other : strategies) {
      if (other.label != strategy.label) continue;
      refuse(file, pointer,
             "label " + brief_json(strategy.label) + " is taken by /strategies/" +
                 std::to_string(&other - strategies.data()) + "; give one of them a \"label\" of its own");
    }
    strategies.push_back(std::move(strategy));
  }
  return strategies;
}

/// Own gates of sigmoid scores, once normalised, are far below the scores: there added rows are put on the same scale.
/// It is spelled out only where the default is not the score, so that configs which meant the score before there was a
/// choice keep their hash, and others do not. An effective config without it means the score, whatever the router.
void resolve_added_gates(ExperimentConfig& config, json& spelled_out) {
  const RouterConfig& router = config.router;
  const bool by_default = router.scoring == Scoring::kSigmoid && router.normalise_gates;
  for (std::size_t i = 0; i < config.strategies.size(); ++i) {
    StrategyConfig& strategy = config.strategies[i];
    if (strategy.added_gate == AddedGate::kNormalised && !router.normalise_gates) {
      throw ConfigError(
          strategy.pointer + "/added_gate",
          "\"normalised\" is not allowed where /router/normalise_gates is false; expected \"score\", which is what "
          "the token's own gates are");
    }
    if (!by_default || spelled_out[i].contains("added_gate") || !may_add_rows(strategy)) continue;
    strategy.added_gate = AddedGate::kNormalised;
    spelled_out[i]["added_gate"] = "normalised";
  }
}

std::vector<std::int64_t> build_tiles(const json& from, const std::string& file) {
  std::vector<std::int64_t> tiles;
  for (const json& tile : from) {
    if (std::find(tiles.begin(), tiles.end(), tile.get<std::int64_t>()) != tiles.end()) {
      refuse(file, "/tile/" + std::to_string(tiles.size()), tile.dump() + " is listed twice; expected each tile once");
    }
    tiles.push_back(tile);
  }
  return tiles;
}

LayerConfig build_layer(const json& from, const std::string& file) {
  LayerConfig layer;
  layer.hidden = from["hidden"];
  layer.intermediate = from["intermediate"];

  layer.backend = from["backend"];
  layer.fuse_gather = from["fuse"]["gather"];
  layer.fuse_swiglu = from["fuse"]["swiglu"];
  layer.launch_per_tile = from.value("mixed_tiles", "") == "launch_per_tile";
  layer.autotune = from["autotune"];
  layer.cpu_hidden = from["cpu"]["hidden"];
  layer.cpu_intermediate = from["cpu"]["intermediate"];
  for (const char* key : {"hidden", "intermediate"}) {
    if (from["cpu"][key] <= from[key]) continue;
    refuse(file, "/layer/cpu/" + std::string(key),
           from["cpu"][key].dump() + " is not allowed; expected at most the layer's own, " + from[key].dump());
  }
  return layer;
}

DocumentedFigure build_figure(const json& from, const ExperimentConfig& config, const std::string& pointer) {
  DocumentedFigure figure;
  figure.metric = from["metric"];
  figure.strategy = from["strategy"];
  figure.tile = from.value("tile", std::int64_t{0});
  figure.value = from["value"];
  figure.source = from["source"];
  std::string labels;
  bool known = false;
  for (const StrategyConfig& strategy : config.strategies) {
    known = known || strategy.label == figure.strategy;
    labels += (labels.empty() ? "" : ", ") + brief_json(strategy.label);
  }
  if (!known) {
    refuse(config.file, pointer + "/strategy",
           brief_json(figure.strategy) + " is no strategy of this experiment; expected one of " + labels);
  }
  const auto& tiles = config.tiles;
  if (figure.tile != 0 && std::find(tiles.begin(), tiles.end(), figure.tile) == tiles.end()) {
    refuse(config.file, pointer + "/tile",
           number(figure.tile) + " is no tile of this experiment; expected one of /tile");
  }
  return figure;
}

/// FNV-1a, 64 bits: names a config, guards nothing.
std::string hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  std::string digits(16, '0');
  for (std::size_t i = 16; i-- > 0; hash >>= 4U) digits[i] = "0123456789abcdef"[hash & 15U];
  return digits;
}

ConfigError with_note(const ConfigError& error, const std::string& note) {
  const std::string text = error.what();
  const std::size_t colon = text.find(": ");
  return ConfigError(text.substr(0, colon), text.substr(colon + 2) + " (" + note + ")");
}

/// Says which override a refused value came from, where it came from one.
void rethrow_naming_override(const ConfigError& error, const std::string& path,
                             const std::vector<std::string>& overrides) {
  const std::string text = error.what();
  for (auto set = overrides.rbegin(); set != overrides.rend(); ++set) {
    const std::string place = path + ":" + override_pointer(*set);
    if (text.rfind(place, 0) != 0 || (text[place.size()] != ':' && text[place.size()] != '/')) continue;
    throw with_note(error, "from --set " + brief_json(*set));
  }
}

}  // namespace

const json& experiment_schema() {
  static const json schema = json::parse(kExperimentSchema);
  return schema;
}

void check_router(const RouterConfig& router, const std::string& file) {
  const std::int64_t experts = router.experts;
  if (router.groups && router.groups->top > router.groups->count) {
    refuse(
        file, "/router/groups/top",
        number(router.groups->top) + " is not allowed; expected at most groups.count, " + number(router.groups->count));
  }
  if (experts == 0) return;  // the trace will say
  if (router.top_k > experts) {
    refuse(file, "/router/top_k",
           number(router.top_k) + " is not allowed; expected at most the number of experts, " + number(experts));
  }
  const std::size_t biases = router.selection_bias.size();
  if (biases > 1 && biases != static_cast<std::size_t>(experts)) {
    refuse(file, "/router/selection_bias",
           "a list of " + std::to_string(biases) +
               " items is not allowed; expected one number, or one for each of the " + number(experts) + " experts");
  }
  if (router.groups) {
    const ExpertGroups& groups = *router.groups;
    if (experts % groups.count != 0) {
      refuse(file, "/router/groups/count",
             number(groups.count) + " is not allowed; expected a divisor of the number of experts, " + number(experts));
    }
    const std::int64_t choice = groups.top * (experts / groups.count);
    if (choice < router.top_k) {
      refuse(file, "/router/groups/top",
             number(groups.top) + " is not allowed; these groups hold " + number(choice) +
                 " experts, fewer than top_k, " + number(router.top_k));
    }
  }
  if (router.source.kind == SourceKind::kHot && router.source.hot_experts > experts) {
    refuse(file, "/router/source/experts",
           number(router.source.hot_experts) + " is not allowed; expected at most the number of experts, " +
               number(experts));
  }
}

ExperimentConfig parse_experiment(const json& document, const std::string& file) {
  if (document.is_object() && document.contains("sweep")) refuse(file, "/sweep", "is not allowed within a sweep");
  static const SchemaValidator schema(experiment_schema());
  schema.check(document, file);
  json effective = document;
  spell_out(effective);
  check_printable(effective, "", file);
  fill_defaults(experiment_schema(), effective);
  spell_out_defaults(effective);

  ExperimentConfig config;
  config.file = file;
  config.name = effective["name"];
  config.seed = effective["seed"];
  config.router = build_router(effective["router"], file);
  config.tiles = build_tiles(effective["tile"], file);
  config.strategies = build_strategies(effective["strategies"], file);
  resolve_added_gates(config, effective["strategies"]);
  if (!effective["layer"].is_null()) config.layer = build_layer(effective["layer"], file);
  const json& measure = effective["measure"];
  config.measure = {measure["samples"], measure["l2"] == "cold", measure["precision"], measure["warm_up_ms"]};
  for (const json& figure : effective["documented"]) {
    const std::string pointer = "/documented/" + std::to_string(config.documented.size());
    config.documented.push_back(build_figure(figure, config, pointer));
  }
  config.effective_json = effective.dump();
  config.hash = hash_of(config.effective_json);
  return config;
}

std::vector<ExperimentConfig> read_experiments(const std::string& path, const std::vector<std::string>& overrides) {
  json document = read_json_file(path);
  for (const std::string& one : overrides) apply_override(document, one);
  std::vector<ExperimentConfig> configs;
  for (const SweepItem& item : expand_sweep(document, path, overrides)) {
    try {
      configs.push_back(parse_experiment(item.document, path));
    } catch (const ConfigError& error) {
      rethrow_naming_override(error, path, overrides);
      if (item.values.empty()) throw;
      throw with_note(error, "in the sweep, " + item.values);
    }
  }
  return configs;
}

}  // namespace tatr
